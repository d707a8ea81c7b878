/*
 * list.h - the kinds of sources that are always there.
 */
#ifndef UF_SOURCE_LIST_H
#define UF_SOURCE_LIST_H

#include "pager/source.h"

extern const struct source_ops source_packed, source_raw;

#endif
