/*
 * list.c - the memory types there are. A new type is one file beside this one and one line here.
 */
#include "mm/type.h"

#define TYPES(X) X(anon)

#define DECLARE(name) extern const struct mm_type mm_type_##name;
TYPES(DECLARE)

#define ENTER(name) &mm_type_##name,
const struct mm_type *const mm_types[] = {TYPES(ENTER)};
const unsigned mm_types_count = sizeof(mm_types) / sizeof(mm_types[0]);
