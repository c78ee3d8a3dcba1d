/* Snapshots as bytes: the writer, the reader, and what it does with damage. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/meta.h"
#include "store/snapshot.h"
#include "store/snapshot_format.h"

#define WALL 1700000000000
#define OFFSET (WALL - 5000) /* the monotonic clock shows 5000 */

static int
memory_file(void)
{
	int fd = memfd_create("snapshot", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static struct cache_dumped
entry(const char *key, const char *value, int64_t expires_ms)
{
	return (struct cache_dumped){ .key = slice_str(key), .value = slice_str(value),
		.expires_ms = expires_ms, .end_ms = expires_ms, .footprint = 100 };
}

static void
begin(struct snapshot_writer *w, int fd)
{
	ck_assert_int_eq(snapshot_writer_init(w, fd, CACHE_LRU, WALL, OFFSET), 0);
}

static void
add(struct snapshot_writer *w, const struct cache_dumped *d)
{
	if (snapshot_writer_add(w, d))
		return;
	ck_assert_int_eq(snapshot_writer_flush(w), 0);
	ck_assert(snapshot_writer_add(w, d));
}

static void
end(struct snapshot_writer *w)
{
	ck_assert_int_eq(snapshot_writer_end(w, WALL + 10), 0);
	snapshot_writer_fini(w);
}

/* n small entries, some with times. */
static int
sample(unsigned n)
{
	struct snapshot_writer w;
	int fd = memory_file();

	begin(&w, fd);
	for (unsigned i = 0; i < n; i++) {
		char key[16], value[32];
		struct cache_dumped d;

		snprintf(key, sizeof key, "key:%u", i);
		snprintf(value, sizeof value, "value of %u", i);
		d = entry(key, value, i % 3 == 0 ? 0 : 6000 + i);
		d.end_ms += i % 3 == 2 ? 1000 : 0;
		d.is_protected = i % 5 == 0;
		d.bits = i % 8;
		d.frequency = i % 17;
		add(&w, &d);
	}
	end(&w);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Reads all: how many entries were good, and how it ended. */
struct outcome {
	int rc;
	unsigned entries;
	struct snapshot_reader r;
};

static struct outcome
read_back(int fd, void (*each)(unsigned i, const struct cache_dumped *d))
{
	struct outcome o = { .entries = 0 };
	struct snapshot_block b;
	unsigned char meta[META_MAX];
	struct cache_dumped d;

	snapshot_block_init(&b);
	o.rc = snapshot_reader_init(&o.r, fd, 1 << 20, OFFSET);
	if (o.rc == 0) {
		while ((o.rc = snapshot_reader_next(&o.r, &b)) > 0) {
			int more;

			while ((more = snapshot_block_next(&o.r, &b, meta, &d)) > 0) {
				if (each != NULL)
					each(o.entries, &d);
				o.entries++;
			}
			if (more < 0) {
				o.rc = more;
				break;
			}
		}
	}
	snapshot_block_fini(&b);
	return o;
}

static void
as_sampled(unsigned i, const struct cache_dumped *d)
{
	char key[16], value[32];

	snprintf(key, sizeof key, "key:%u", i);
	snprintf(value, sizeof value, "value of %u", i);
	ck_assert(slice_eq(d->key, slice_str(key)));
	ck_assert(slice_eq(d->value, slice_str(value)));
	ck_assert_int_eq(d->expires_ms, i % 3 == 0 ? 0 : 6000 + i);
	ck_assert_int_eq(d->end_ms, d->expires_ms + (i % 3 == 2 ? 1000 : 0));
	ck_assert_int_eq(d->is_protected, i % 5 == 0);
	ck_assert_uint_eq(d->bits, i % 8);
	ck_assert_uint_eq(d->frequency, i % 17);
	ck_assert(d->record.ptr == NULL);
}

START_TEST(what_is_written_is_read)
{
	int fd = sample(9000); /* some blocks */
	struct outcome o = read_back(fd, as_sampled);

	ck_assert_int_eq(o.rc, 0);
	ck_assert_uint_eq(o.entries, 9000);
	ck_assert_uint_eq(o.r.sum.entries, 9000);
	ck_assert_uint_gt(o.r.sum.blocks, 3);
	ck_assert_uint_eq(o.r.sum.footprint, 900000);
	ck_assert_int_eq(o.r.begun_ms, WALL);
	ck_assert_int_eq(o.r.sum.ended_ms, WALL + 10);
	close(fd);
}
END_TEST

START_TEST(an_empty_snapshot_is_one)
{
	int fd = sample(0);
	struct outcome o = read_back(fd, NULL);

	ck_assert_int_eq(o.rc, 0);
	ck_assert_uint_eq(o.entries, 0);
	ck_assert_uint_eq(o.r.at, SNAPSHOT_HEAD + SNAPSHOT_TAIL);
	close(fd);
}
END_TEST

static struct slice large_value;

static void
is_large(unsigned i, const struct cache_dumped *d)
{
	ck_assert_uint_eq(i, 1);
	ck_assert(slice_eq(d->key, SLICE("large")));
	ck_assert(slice_eq(d->value, large_value));
	ck_assert_int_eq(d->expires_ms, 7000);
}

static void
first_or_large(unsigned i, const struct cache_dumped *d)
{
	if (i == 0 || i == 2)
		ck_assert(slice_eq(d->key, SLICE("small")));
	else
		is_large(i, d);
}

static int
with_large(size_t bytes)
{
	struct snapshot_writer w;
	int fd = memory_file();
	struct cache_dumped d = entry("small", "1", 0), large = entry("large", "", 7000);

	large.value = slice_of(mem_zalloc(bytes), bytes);
	ck_assert(large.value.ptr != NULL);
	large_value = large.value;
	begin(&w, fd);
	add(&w, &d);
	ck_assert(!snapshot_fits_block(&large));
	ck_assert(!snapshot_writer_add(&w, &large));
	ck_assert_int_eq(snapshot_writer_large(&w, &large), 0);
	add(&w, &d);
	end(&w);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void
free_large(void)
{
	mem_free((void *)(uintptr_t)large_value.ptr);
}

START_TEST(a_large_value_has_a_block_of_its_own)
{
	int fd = with_large(700000);
	struct outcome o = read_back(fd, first_or_large);

	ck_assert_int_eq(o.rc, 0);
	ck_assert_uint_eq(o.entries, 3);
	ck_assert_uint_eq(o.r.sum.blocks, 3);
	ck_assert_uint_eq(o.r.passed, 0);
	free_large();
	close(fd);
}
END_TEST

START_TEST(one_that_is_too_large_is_passed_over_and_takes_no_memory)
{
	int fd = with_large(3 << 20);
	struct outcome o = read_back(fd, NULL);

	ck_assert_int_eq(o.rc, 0);
	ck_assert_uint_eq(o.entries, 2);
	ck_assert_uint_eq(o.r.passed, 1);
	free_large();
	close(fd);
}
END_TEST

static void
has_meta(unsigned i, const struct cache_dumped *d)
{
	struct meta m;

	(void)i;
	ck_assert(meta_decode(d->record, &m));
	ck_assert_int_eq(m.kind, META_NEGATIVE);
	ck_assert_int_eq(m.stored_ms, 4000);
	ck_assert_int_eq(m.ttl_ms, 77);
	ck_assert(slice_eq(m.etag, SLICE("\"tag\"")));
}

static int
with_meta(int64_t stored_ms)
{
	struct meta m;
	unsigned char record[META_MAX];
	struct cache_dumped d = entry("k", "", 6000);
	struct snapshot_writer w;
	int fd = memory_file();

	meta_init(&m);
	m.kind = META_NEGATIVE;
	m.stored_ms = stored_ms;
	m.ttl_ms = 77;
	m.etag = SLICE("\"tag\"");
	d.record = slice_of((char *)record, meta_encode(&m, record));
	begin(&w, fd);
	add(&w, &d);
	end(&w);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

START_TEST(what_is_known_of_a_fetched_value_comes_along)
{
	int fd = with_meta(4000);
	struct outcome o = read_back(fd, has_meta);

	ck_assert_int_eq(o.rc, 0);
	ck_assert_uint_eq(o.entries, 1);
	close(fd);
}
END_TEST

START_TEST(after_a_reboot_what_was_fetched_before_it_is_older)
{
	int fd = with_meta(4000); /* a second before; the clock then shows 10 */
	struct snapshot_reader r;
	struct snapshot_block b;
	unsigned char meta[META_MAX];
	struct cache_dumped d;
	struct meta m;

	snapshot_block_init(&b);
	ck_assert_int_eq(snapshot_reader_init(&r, fd, 0, WALL - 10), 0);
	ck_assert_int_eq(snapshot_reader_next(&r, &b), 1);
	ck_assert_int_eq(snapshot_block_next(&r, &b, meta, &d), 1);
	ck_assert_int_eq(d.expires_ms, 1010);
	ck_assert(meta_decode(d.record, &m));
	ck_assert_int_eq(m.stored_ms, 1);
	ck_assert_int_eq(m.age_ms, 991);
	snapshot_block_fini(&b);
	close(fd);
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------ */

static int
copy_of(const char *data, size_t n)
{
	int fd = memory_file();

	ck_assert_int_eq(write(fd, data, n), n);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

struct bytes {
	char data[8192];
	size_t len;
};

static struct bytes
small_sample(void)
{
	int fd = sample(20);
	struct bytes b;

	b.len = (size_t)read(fd, b.data, sizeof b.data);
	close(fd);
	return b;
}

START_TEST(cut_off_anywhere_it_is_told_and_what_is_read_is_right)
{
	struct bytes b = small_sample();

	for (size_t n = 0; n < b.len; n++) {
		int fd = copy_of(b.data, n);
		struct outcome o = read_back(fd, as_sampled);
		struct snapshot_sum sum;
		char error[SNAPSHOT_ERROR] = "";

		ck_assert_int_eq(o.rc, -EBADMSG);
		ck_assert_ptr_nonnull(strstr(o.r.error, "it ends in the middle"));
		ck_assert(o.entries == 0 || o.entries == 20);
		ck_assert_int_eq(snapshot_sum_of_file(fd, n, &sum, error), -EBADMSG);
		ck_assert_str_ne(error, "");
		close(fd);
	}
}
END_TEST

START_TEST(a_flipped_bit_anywhere_is_told_and_what_is_read_is_right)
{
	struct bytes b = small_sample();

	for (size_t i = 0; i < b.len * 8; i += 3) {
		struct outcome o;
		int fd;

		b.data[i / 8] = (char)(b.data[i / 8] ^ 1 << i % 8);
		fd = copy_of(b.data, b.len);
		o = read_back(fd, as_sampled);
		ck_assert_int_eq(o.rc, -EBADMSG);
		ck_assert_str_ne(o.r.error, "");
		ck_assert(o.entries == 0 || o.entries == 20);
		close(fd);
		b.data[i / 8] = (char)(b.data[i / 8] ^ 1 << i % 8);
	}
}
END_TEST

START_TEST(blocks_that_changed_places_are_told)
{
	int fd = sample(9000);
	struct snapshot_block_head h;
	struct outcome o;
	char *copy;
	size_t first, total = (size_t)lseek(fd, 0, SEEK_END);

	copy = mem_alloc(total);
	ck_assert_int_eq(pread(fd, copy, total, 0), (ssize_t)total);
	memcpy(&h, copy + SNAPSHOT_HEAD, sizeof h);
	first = sizeof h + h.bytes;
	close(fd);
	/* The first is left out. */
	memmove(copy + SNAPSHOT_HEAD, copy + SNAPSHOT_HEAD + first, total - SNAPSHOT_HEAD - first);
	fd = copy_of(copy, total - first);
	o = read_back(fd, NULL);
	ck_assert_int_eq(o.rc, -EBADMSG);
	ck_assert_uint_eq(o.entries, 0);
	ck_assert_ptr_nonnull(strstr(o.r.error, "block 0's head"));
	mem_free(copy);
	close(fd);
}
END_TEST

START_TEST(another_version_is_refused_by_its_number)
{
	struct bytes b = small_sample();
	uint32_t version = 2;
	struct outcome o;
	int fd;

	memcpy(b.data + 12, &version, sizeof version);
	fd = copy_of(b.data, b.len);
	o = read_back(fd, NULL);
	ck_assert_int_eq(o.rc, -EBADMSG);
	ck_assert_str_eq(o.r.error, "at byte 12: version 2; this pannier reads version 1");
	close(fd);
}
END_TEST

START_TEST(what_is_no_snapshot_is_told_so)
{
	static const char text[100] = "REDIS0011";
	int fd = copy_of(text, sizeof text);
	struct outcome o = read_back(fd, NULL);

	ck_assert_int_eq(o.rc, -EBADMSG);
	ck_assert_str_eq(o.r.error, "at byte 0: this is no snapshot of pannier");
	close(fd);
}
END_TEST

START_TEST(without_memory_both_say_so)
{
	struct snapshot_writer w;
	struct outcome o;
	int fd = sample(20);

	mem_fail_nth(1, 0);
	ck_assert_int_eq(snapshot_writer_init(&w, fd, CACHE_LRU, WALL, OFFSET), -ENOMEM);
	mem_fail_nth(0, 0);
	snapshot_writer_fini(&w);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	mem_fail_nth(1, 0);
	o = read_back(fd, NULL);
	mem_fail_nth(0, 0);
	ck_assert_int_eq(o.rc, -ENOMEM);
	ck_assert_str_eq(o.r.error, "at byte 64: out of memory");
	close(fd);
}
END_TEST

START_TEST(a_full_disk_fails_the_writer_once_and_for_all)
{
	struct cache_dumped d = entry("k", "v", 0);
	struct snapshot_writer w;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(snapshot_writer_init(&w, fd, CACHE_LRU, WALL, OFFSET), -ENOSPC);
	ck_assert(snapshot_writer_add(&w, &d));
	ck_assert_int_eq(snapshot_writer_flush(&w), -ENOSPC);
	ck_assert_int_eq(snapshot_writer_end(&w, WALL), -ENOSPC);
	snapshot_writer_fini(&w);
	close(fd);
}
END_TEST

/* --- files ---------------------------------------------------------------------------------------- */

static char dir[64], path[96];

static void
make_dir(void)
{
	strcpy(dir, "/tmp/pannier-snap-XXXXXX");
	ck_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/snap", dir);
}

static void
drop_dir(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0); /* and nothing else is left there */
}

static void
replace_with(const char *text)
{
	struct snapshot_file f;

	ck_assert_int_eq(snapshot_file_create(&f, path), 0);
	ck_assert_int_eq(write(f.fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(snapshot_file_commit(&f), 0);
}

static void
has_text(const char *text)
{
	char error[SNAPSHOT_ERROR], data[64] = "";
	uint64_t size = 0;
	int fd = snapshot_file_open(path, &size, error);

	ck_assert_msg(fd >= 0, "%s", error);
	ck_assert_uint_eq(size, strlen(text));
	ck_assert_int_eq(read(fd, data, sizeof data - 1), (ssize_t)size);
	ck_assert_str_eq(data, text);
	close(fd);
}

START_TEST(a_file_takes_the_place_of_the_old_one_as_a_whole)
{
	struct snapshot_file f;
	struct stat st;

	replace_with("one");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(snapshot_file_create(&f, path), 0);
	ck_assert_int_eq(write(f.fd, "tw", 2), 2);
	has_text("one");
	snapshot_file_abort(&f);
	has_text("one");
	replace_with("three");
	has_text("three");
}
END_TEST

START_TEST(what_a_killed_process_left_is_written_over)
{
	struct snapshot_file f;
	char temp[128];

	ck_assert_int_eq(snapshot_file_create(&f, path), 0);
	snprintf(temp, sizeof temp, "%s.tmp", path);
	ck_assert_int_eq(access(temp, F_OK), 0);
	replace_with("two"); /* as another process, for f was not finished */
	has_text("two");
	snapshot_file_abort(&f);
	has_text("two");
}
END_TEST

static void
refused_because(const char *why)
{
	char error[SNAPSHOT_ERROR] = "";
	uint64_t size;

	ck_assert_int_lt(snapshot_file_open(path, &size, error), 0);
	ck_assert_msg(strstr(error, why) != NULL, "%s", error);
}

START_TEST(what_is_no_file_of_ours_is_refused)
{
	char other[128];

	snprintf(other, sizeof other, "%s.other", path);
	refused_because("No such file");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	refused_because("no regular file");
	unlink(path);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	refused_because("symbolic link");
	unlink(path);
	replace_with("x");
	ck_assert_int_eq(chmod(path, 0620), 0);
	refused_because("its mode must be 0600");
	unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	refused_because("no regular file");
	rmdir(path);
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_an_error)
{
	struct snapshot_file f;
	char gone[128];

	snprintf(gone, sizeof gone, "%s/none/snap", dir);
	ck_assert_int_eq(snapshot_file_create(&f, gone), -ENOENT);
	for (int n = 1; n <= 2; n++) {
		mem_fail_nth(n, 0);
		ck_assert_int_eq(snapshot_file_create(&f, path), -ENOMEM);
		mem_fail_nth(0, 0);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("snapshot");

	SUITE_ADD(s, "bytes", what_is_written_is_read, an_empty_snapshot_is_one,
	    a_large_value_has_a_block_of_its_own,
	    one_that_is_too_large_is_passed_over_and_takes_no_memory,
	    what_is_known_of_a_fetched_value_comes_along,
	    after_a_reboot_what_was_fetched_before_it_is_older);
	SUITE_ADD(s, "damage", cut_off_anywhere_it_is_told_and_what_is_read_is_right,
	    a_flipped_bit_anywhere_is_told_and_what_is_read_is_right,
	    blocks_that_changed_places_are_told, another_version_is_refused_by_its_number,
	    what_is_no_snapshot_is_told_so, without_memory_both_say_so,
	    a_full_disk_fails_the_writer_once_and_for_all);
	SUITE_ADD_FIXTURE(s, "files", make_dir, drop_dir,
	    a_file_takes_the_place_of_the_old_one_as_a_whole,
	    what_a_killed_process_left_is_written_over, what_is_no_file_of_ours_is_refused,
	    a_directory_that_is_not_there_is_an_error);
	return suite_main(s);
}
