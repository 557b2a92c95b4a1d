/* footprint.h - gives back memory that only the start needed. */
#ifndef COMMON_BASE_FOOTPRINT_H
#define COMMON_BASE_FOOTPRINT_H

/* Returns freed heap to the kernel, and drops the clean pages of program and library files from
 * this process (they stay in the page cache): what runs all the time faults them in again, 64 kB at
 * a time; what only linking and start-up touched stays away. A few milliseconds; best effort. */
void footprint_trim(void);

#endif
