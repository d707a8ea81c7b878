/*
 * atomics.h - included before the core's sources when they are compiled for the simulated machine:
 * every atomic operation is a scheduling point, so that code without locks is tried in every order
 * too. Never for the machine's own sources.
 */
#ifndef UF_SIM_ATOMICS_H
#define UF_SIM_ATOMICS_H

#include <stdatomic.h>

void sim_atomic_point(void);

#define SIM_ATOMIC(expression)                                                                     \
	__extension__({                                                                            \
		sim_atomic_point();                                                                \
		expression;                                                                        \
	})

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_compare_exchange_strong

#ifdef __clang__
#define SIM_LOAD(p, o)	      __c11_atomic_load(p, o)
#define SIM_STORE(p, v, o)    __c11_atomic_store(p, v, o)
#define SIM_EXCHANGE(p, v, o) __c11_atomic_exchange(p, v, o)
#define SIM_ADD(p, v, o)      __c11_atomic_fetch_add(p, v, o)
#define SIM_SUB(p, v, o)      __c11_atomic_fetch_sub(p, v, o)
#define SIM_CAS(p, e, v)                                                                           \
	__c11_atomic_compare_exchange_strong(p, e, v, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#else
#define SIM_LOAD(p, o)                                                                             \
	__extension__({                                                                            \
		__auto_type p_ = (p);                                                              \
		__typeof__((void)0, *p_) v_;                                                       \
		__atomic_load(p_, &v_, o);                                                         \
		v_;                                                                                \
	})
#define SIM_STORE(p, v, o)    __atomic_store_n(p, v, o)
#define SIM_EXCHANGE(p, v, o) __atomic_exchange_n(p, v, o)
#define SIM_ADD(p, v, o)      __atomic_fetch_add(p, v, o)
#define SIM_SUB(p, v, o)      __atomic_fetch_sub(p, v, o)
#define SIM_CAS(p, e, v)      __atomic_compare_exchange_n(p, e, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#endif

#define atomic_load(p)				SIM_ATOMIC(SIM_LOAD(p, __ATOMIC_SEQ_CST))
#define atomic_load_explicit(p, o)		SIM_ATOMIC(SIM_LOAD(p, o))
#define atomic_store(p, v)			SIM_ATOMIC(SIM_STORE(p, v, __ATOMIC_SEQ_CST))
#define atomic_store_explicit(p, v, o)		SIM_ATOMIC(SIM_STORE(p, v, o))
#define atomic_exchange(p, v)			SIM_ATOMIC(SIM_EXCHANGE(p, v, __ATOMIC_SEQ_CST))
#define atomic_fetch_add(p, v)			SIM_ATOMIC(SIM_ADD(p, v, __ATOMIC_SEQ_CST))
#define atomic_fetch_add_explicit(p, v, o)	SIM_ATOMIC(SIM_ADD(p, v, o))
#define atomic_fetch_sub(p, v)			SIM_ATOMIC(SIM_SUB(p, v, __ATOMIC_SEQ_CST))
#define atomic_fetch_sub_explicit(p, v, o)	SIM_ATOMIC(SIM_SUB(p, v, o))
#define atomic_compare_exchange_strong(p, e, v) SIM_ATOMIC(SIM_CAS(p, e, v))

#endif
