/* loglin.h - buckets for log-linear counts: each power of two is cut into 2^sub_bits
 * equal steps, and values below that have a bucket each. (The idea of HdrHistogram,
 * http://hdrhistogram.org.) Give sub_bits as a constant. */
#ifndef PANNIER_BASE_LOGLIN_H
#define PANNIER_BASE_LOGLIN_H

#include <stdint.h>

/* Buckets for values of 0 to 2^max_bits - 1. */
#define LOGLIN_BUCKETS(sub_bits, max_bits) (((max_bits) - (sub_bits) + 1) << (sub_bits))

/* value: at least 0. A bucket is its power of two and the bits behind its leading one. */
static inline unsigned
loglin_bucket(int64_t value, unsigned sub_bits)
{
	unsigned power;

	if (value < (int64_t)1 << sub_bits)
		return (unsigned)value;
	power = 63 - (unsigned)__builtin_clzll((unsigned long long)value) - sub_bits;
	return (power << sub_bits) + (unsigned)(value >> power);
}

/* The least value of a bucket; of the one behind the last, where that ends. */
static inline int64_t
loglin_low(unsigned bucket, unsigned sub_bits)
{
	unsigned subs = 1u << sub_bits;

	if (bucket < 2 * subs)
		return bucket;
	return (int64_t)(subs + (bucket & (subs - 1))) << ((bucket >> sub_bits) - 1);
}

/* The middle of a bucket. */
static inline int64_t
loglin_middle(unsigned bucket, unsigned sub_bits)
{
	unsigned power = bucket >> sub_bits;

	if (bucket < 2u << sub_bits)
		return bucket;
	return loglin_low(bucket, sub_bits) + ((int64_t)1 << (power - 1)) / 2;
}

#endif
