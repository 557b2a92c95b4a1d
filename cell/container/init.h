/* init.h - the program in init.c, linked and carried along, so that a cell is one file. */
#ifndef CELL_CONTAINER_INIT_H
#define CELL_CONTAINER_INIT_H

#include <stddef.h>

extern const unsigned char container_init[];
extern const size_t container_init_size;

#endif
