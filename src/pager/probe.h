/*
 * probe.h - the pager's USDT probes (provider "userfault"); nothing where <sys/sdt.h> is missing.
 * Their arguments are documented in engine.h.
 */
#ifndef UF_PAGER_PROBE_H
#define UF_PAGER_PROBE_H

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define PROBE(name, a, b, c, d) DTRACE_PROBE4(userfault, name, a, b, c, d)
#else
#define PROBE(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

#endif
