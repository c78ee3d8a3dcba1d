/* sim.h - one simulated cache over keys that several of them share: which keys a policy of
 * eviction would keep in so many bytes. They follow src/cache/{policy,s3fifo,tinylfu}.c,
 * but for what only many entries need: where these estimate (a ghost of fingerprints, a
 * sketch), the simulation knows. tests/unit/store/test_sims.c holds them against the
 * real cache. Not thread-safe. */
#ifndef PANNIER_STATS_SIM_H
#define PANNIER_STATS_SIM_H

#include <stdbool.h>
#include <stdint.h>

/* In the order of enum cache_policy. */
enum sim_policy { SIM_LRU, SIM_S3FIFO, SIM_TINYLFU, SIM_POLICIES };

#define SIM_SIZES 5
#define SIM_COUNT (SIM_POLICIES * SIM_SIZES)
#define SIM_QUEUES 3

/* Where a key is in one of the caches. */
enum sim_where { SIM_ABSENT, SIM_GHOST, SIM_QUEUE }; /* and on: SIM_QUEUE + its number */

struct sim_link {
	uint16_t newer, older; /* 0: the queue's end; of a ghost, `newer`: when it left */
	uint8_t where;
	uint8_t uses;          /* as the policy counts them */
};

struct sim_key {
	uint64_t hash;
	int64_t expires_ms; /* INT64_MAX: never */
	uint32_t bytes;
	uint16_t next;      /* in its chain, or of those that are free */
	uint8_t held;       /* by so many caches */
	bool used : 1;      /* it is a key, not a free place */
	bool missed : 1;    /* just now: a write that follows is no use */
	struct sim_link links[SIM_COUNT];
};

struct sim_queue {
	uint16_t newest, oldest; /* 0: empty */
	uint64_t bytes;
};

struct sim {
	enum sim_policy policy;
	unsigned index;        /* of its links */
	struct sim_key *keys;  /* [n_keys + 1], number 0 is none; not owned */
	uint32_t n_keys;
	uint64_t capacity;     /* bytes; it holds no more after each call */
	struct sim_queue queues[SIM_QUEUES];
	uint32_t count;        /* entries */
	uint16_t evicted;      /* modulo 2^16, the clock of its ghosts */
	bool has_evicted;
	uint32_t hand;         /* the key whose uses are halved next */
	uint64_t counted;      /* towards that */
};

/* A read: whether it is there, which is a use then. */
bool sim_read(struct sim *s, uint16_t key);
/* A write: it is there now, unless it is too large; `is_use`: that counts, if it was
 * there before. */
void sim_put(struct sim *s, uint16_t key, bool is_use);
/* The key's bytes are about to become more by this, and it may be there. */
void sim_resized(struct sim *s, uint16_t key, int64_t by);
/* It is removed, and not to make room; its ghost goes too. */
void sim_drop(struct sim *s, uint16_t key);
/* Makes room until it holds no more than capacity. */
void sim_fit(struct sim *s);
/* Forgets all, before the keys are zeroed. */
void sim_clear(struct sim *s);

#endif
