/* peer_source.h - blobs from wherever they are: here, from other cells, from their registry. */
#ifndef CELL_IMAGE_PEER_SOURCE_H
#define CELL_IMAGE_PEER_SOURCE_H

#include "cell/image/peers.h"
#include "cell/image/source.h"

/* `p` is borrowed by what is made of it. */
void peer_source(struct peers *p, struct layer_source *ret);

#endif
