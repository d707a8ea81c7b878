/*
 * list.c - the memory types there are. A new type is one file beside this one and one line in
 * `list`, of which the build makes types.h.
 */
#include "mm/type.h"

#define TYPE(name) extern const struct mm_type mm_type_##name;
#include "types/types.h"
#undef TYPE

#define TYPE(name) &mm_type_##name,
const struct mm_type *const mm_types[] = {
#include "types/types.h"
};
const unsigned mm_types_count = sizeof(mm_types) / sizeof(mm_types[0]);
