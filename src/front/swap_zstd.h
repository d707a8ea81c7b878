/* swap_zstd.h - pages in the swap store compressed with zstd. */
#ifndef UF_FRONT_SWAP_ZSTD_H
#define UF_FRONT_SWAP_ZSTD_H

#include "machine/host/swap.h"

/* NULL: the library does not say what it needs. */
const struct host_swap_codec *swap_zstd(void);

#endif
