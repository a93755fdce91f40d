/* SPDX-License-Identifier: MIT */
#include "elf.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discover/within.h"
#include "ehframe.h"
#include "elf_file.h"
#include "elf_handle.h"

#define MAX_FILE (2ull << 30)
#define MAX_FUNCTIONS (4u << 20)

void elf_rest(struct elf_file *f)
{
	if (!f)
		return;
	vec_deinit(&f->symbols);
	vec_deinit(&f->imports);
	vec_deinit(&f->functions);
	hashmap_deinit(&f->import_by_slot);
	hashmap_deinit(&f->pointers);
	f->have_symbols = f->have_relocs = f->have_functions = false;
	for (size_t i = 0; i < f->n_segs; i++)
		f->seg[i].data = NULL;
	if (f->elf)
		elf_end(f->elf);
	f->elf = NULL;
}

void elf_close(struct elf_file *f)
{
	if (!f)
		return;
	elf_rest(f);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void elf_free(struct elf_file *f)
{
	elf_close(f);
	free(f);
}

static int read_segments(struct elf_file *f)
{
	size_t n;

	if (elf_getphdrnum(f->elf, &n))
		return -ENOEXEC;
	for (size_t i = 0; i < n && f->n_segs < ELF_MAX_SEGMENTS; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(f->elf, (int)i, &ph))
			return -ENOEXEC;
		if (ph.p_type == PT_GNU_EH_FRAME) {
			f->eh_frame_hdr = ph.p_vaddr;
			f->eh_frame_hdr_size = ph.p_memsz;
		}
		if (ph.p_type != PT_LOAD)
			continue;
		if (ph.p_vaddr + ph.p_memsz < ph.p_vaddr)
			return -ENOEXEC;
		if (ph.p_offset > f->size) { /* a file of symbols only keeps the header */
			ph.p_offset = 0;
			ph.p_filesz = 0;
		}
		if (ph.p_filesz > f->size - ph.p_offset)
			ph.p_filesz = f->size - ph.p_offset; /* cut short: use what is there */
		f->seg[f->n_segs++] = (struct elf_segment){
			.vaddr = ph.p_vaddr,
			.offset = ph.p_offset,
			.filesz = ph.p_filesz < ph.p_memsz ? ph.p_filesz : ph.p_memsz,
			.memsz = ph.p_memsz,
			.writable = ph.p_flags & PF_W,
			.executable = ph.p_flags & PF_X,
		};
	}
	return f->n_segs ? 0 : -ENOEXEC;
}

static void set_build_id(struct elf_file *f, const uint8_t *id, size_t len)
{
	for (size_t i = 0; i < len && 2 * i + 2 < sizeof(f->build_id); i++)
		snprintf(f->build_id + 2 * i, 3, "%02x", id[i]);
}

static void read_build_id(struct elf_file *f)
{
	size_t n;

	if (elf_getphdrnum(f->elf, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		size_t at = 0, name, desc;
		GElf_Phdr ph;
		GElf_Nhdr note;
		Elf_Data *d;

		if (!gelf_getphdr(f->elf, (int)i, &ph) || ph.p_type != PT_NOTE)
			continue;
		d = elf_getdata_rawchunk(f->elf, (int64_t)ph.p_offset, ph.p_filesz, ELF_T_NHDR);
		while (d && (at = gelf_getnote(d, at, &note, &name, &desc)) > 0) {
			if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			    !memcmp((char *)d->d_buf + name, "GNU", 4))
				set_build_id(f, (uint8_t *)d->d_buf + desc, note.n_descsz);
		}
	}
}

static int check_kind(struct elf_file *f, const char *path, struct errmsg *err)
{
	GElf_Ehdr eh;

	if (elf_kind(f->elf) != ELF_K_ELF || !gelf_getehdr(f->elf, &eh))
		return errmsg_set(err, -ENOEXEC, "'%s' is not an ELF file", path);
	if (gelf_getclass(f->elf) != ELFCLASS64 || eh.e_machine != EM_X86_64)
		return errmsg_set(err, -ENOEXEC, "'%s' is not an x86-64 file", path);
	return 0;
}

/* What of its size and kind the door knows, or fstat() does. */
static int check_file(struct elf_file *f, const char *path, struct errmsg *err)
{
	struct stat st;
	int rc = f->fd < 0 ? f->fd : fstat(f->fd, &st) ? -errno : 0;

	if (rc && rc != -EFBIG)
		return errmsg_set(err, rc, "cannot open '%s': %s", path, strerror(-rc));
	if (rc || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > MAX_FILE)
		return errmsg_set(err, -EFBIG, "'%s' is not a regular file below 2 GiB", path);
	f->size = (uint64_t)st.st_size;
	return 0;
}

int elf_open(const char *path, struct elf_file **ret, struct errmsg *err)
{
	return elf_open_fd(within_open_own(path), path, ret, err);
}

int elf_open_fd(int fd, const char *path, struct elf_file **ret, struct errmsg *err)
{
	struct elf_file *f = calloc(1, sizeof(*f));
	int rc;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	elf_version(EV_CURRENT);
	f->fd = fd;
	rc = check_file(f, path, err);
	if (rc)
		goto fail;
	f->elf = elf_begin(f->fd, ELF_C_READ, NULL);
	if (!f->elf) {
		rc = errmsg_set(err, -ENOEXEC, "'%s' is not an ELF file", path);
		goto fail;
	}
	rc = check_kind(f, path, err);
	if (rc)
		goto fail;
	rc = read_segments(f);
	if (rc) {
		errmsg_set(err, rc, "'%s' has no valid program headers", path);
		goto fail;
	}
	read_build_id(f);
	*ret = f;
	return 0;
fail:
	elf_free(f);
	return rc;
}

Elf *elf_handle(struct elf_file *f)
{
	if (!f->elf)
		f->elf = elf_begin(f->fd, ELF_C_READ, NULL);
	return f->elf;
}

bool elf_same_bytes(const struct elf_file *a, const struct elf_file *b)
{
	char x[1 << 14], y[sizeof(x)];
	ssize_t n = 1;

	if (a->size != b->size || strcmp(a->build_id, b->build_id))
		return false;
	for (off_t at = 0; n > 0; at += n) {
		n = pread(a->fd, x, sizeof(x), at);
		if (n < 0 || pread(b->fd, y, sizeof(y), at) != n || memcmp(x, y, (size_t)n))
			return false;
	}
	return true;
}

int elf_fd(const struct elf_file *f)
{
	return f->fd;
}

const char *elf_build_id(const struct elf_file *f)
{
	return f->build_id;
}

uint64_t elf_bias(const struct elf_file *f, uint64_t map_start, uint64_t map_offset)
{
	for (size_t i = 0; i < f->n_segs; i++) {
		const struct elf_segment *s = &f->seg[i];
		uint64_t first_page = s->offset & ~4095ull;

		if (map_offset >= first_page && map_offset < s->offset + s->filesz)
			return map_start - (s->vaddr - s->offset + map_offset);
	}
	return map_start;
}

static const struct elf_segment *segment_of(const struct elf_file *f, uint64_t vaddr, size_t len)
{
	for (size_t i = 0; i < f->n_segs; i++) {
		const struct elf_segment *s = &f->seg[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->filesz)
			return len <= s->filesz - (vaddr - s->vaddr) ? s : NULL;
	}
	return NULL;
}

bool elf_offset_of(const struct elf_file *f, uint64_t vaddr, uint64_t *offset_ret)
{
	const struct elf_segment *s = segment_of(f, vaddr, 1);

	if (!s)
		return false;
	*offset_ret = s->offset + (vaddr - s->vaddr);
	return true;
}

static const uint8_t *load(struct elf_file *f, struct elf_segment *s)
{
	Elf_Data *d;

	if (!s->data && s->filesz) {
		d = elf_getdata_rawchunk(elf_handle(f), (int64_t)s->offset, s->filesz, ELF_T_BYTE);
		if (!d || d->d_size < s->filesz)
			s->filesz = 0;
		else
			s->data = d->d_buf;
	}
	return s->data;
}

const struct elf_segment *elf_segment(struct elf_file *f, size_t i)
{
	if (i >= f->n_segs)
		return NULL;
	load(f, &f->seg[i]);
	return &f->seg[i];
}

const struct elf_segment *elf_extent(const struct elf_file *f, size_t i)
{
	return i < f->n_segs ? &f->seg[i] : NULL;
}

const uint8_t *elf_data(const struct elf_file *f, uint64_t vaddr, size_t len)
{
	const struct elf_segment *s = segment_of(f, vaddr, len);
	const uint8_t *data;

	/* Loading fills a cache; the file as its user sees it does not change. */
	data = s ? load((struct elf_file *)f, (struct elf_segment *)s) : NULL;
	return data ? data + (vaddr - s->vaddr) : NULL;
}

bool elf_is_code(const struct elf_file *f, uint64_t vaddr)
{
	const struct elf_segment *s = segment_of(f, vaddr, 1);

	return s && s->executable;
}

uint64_t elf_find_bytes(struct elf_file *f, const void *bytes, size_t len, uint64_t from)
{
	for (size_t i = 0; i < f->n_segs; i++) {
		struct elf_segment *s = &f->seg[i];
		const uint8_t *hit;
		uint64_t skip;

		if (s->writable || from >= s->vaddr + s->filesz || !load(f, s))
			continue;
		skip = from > s->vaddr ? from - s->vaddr : 0;
		hit = memmem(s->data + skip, s->filesz - skip, bytes, len);
		if (hit)
			return s->vaddr + (uint64_t)(hit - s->data);
	}
	return 0;
}

static int add_function(uint64_t start, uint64_t end, bool has_lsda, void *ctx)
{
	struct elf_file *f = ctx;

	if (f->functions.n >= MAX_FUNCTIONS)
		return -EFBIG;
	if (!elf_is_code(f, start))
		return 0;
	return vec_push(&f->functions, (struct elf_function){ start, end, has_lsda });
}

static int by_start(const void *a, const void *b)
{
	const struct elf_function *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static const uint8_t *eh_frame_by_section(struct elf_file *f, uint64_t *vaddr, size_t *len)
{
	Elf_Scn *scn = NULL;
	size_t strings;

	if (elf_getshdrstrndx(elf_handle(f), &strings))
		return NULL;
	while ((scn = elf_nextscn(elf_handle(f), scn))) {
		GElf_Shdr sh;
		const char *name;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf_handle(f), strings, sh.sh_name);
		if (!name || strcmp(name, ".eh_frame"))
			continue;
		*vaddr = sh.sh_addr;
		*len = sh.sh_size;
		return elf_data(f, sh.sh_addr, sh.sh_size);
	}
	return NULL;
}

/* .eh_frame by section; else through its header segment, up to the end of the segment. */
static const uint8_t *find_eh_frame(struct elf_file *f, uint64_t *vaddr, size_t *len)
{
	const uint8_t *hdr, *data = eh_frame_by_section(f, vaddr, len);
	const struct elf_segment *s;

	if (data)
		return data;
	hdr = f->eh_frame_hdr ? elf_data(f, f->eh_frame_hdr, 12) : NULL;
	*vaddr = hdr ? ehframe_from_hdr(hdr, 12, f->eh_frame_hdr) : 0;
	s = *vaddr ? segment_of(f, *vaddr, 4) : NULL;
	if (!s)
		return NULL;
	*len = s->filesz - (*vaddr - s->vaddr);
	return elf_data(f, *vaddr, *len);
}

const struct elf_function *elf_functions(struct elf_file *f, size_t *n_ret)
{
	const uint8_t *data;
	uint64_t vaddr;
	size_t len, kept = 0;

	if (!f->have_functions) {
		f->have_functions = true;
		data = find_eh_frame(f, &vaddr, &len);
		if (data)
			ehframe_each(data, len, vaddr, add_function, f);
		if (f->functions.n)
			qsort(f->functions.v, f->functions.n, sizeof(*f->functions.v), by_start);
		for (size_t i = 0; i < f->functions.n; i++) {
			struct elf_function fn = f->functions.v[i];

			if (kept && f->functions.v[kept - 1].end > fn.start)
				continue; /* overlaps the one before: a lie */
			f->functions.v[kept++] = fn;
		}
		f->functions.n = kept;
	}
	*n_ret = f->functions.n;
	return f->functions.v;
}

const struct elf_function *elf_function_at(struct elf_file *f, uint64_t vaddr)
{
	size_t lo = 0, hi;
	const struct elf_function *fn = elf_functions(f, &hi);

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (fn[mid].end <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->functions.n && fn[lo].start <= vaddr ? &fn[lo] : NULL;
}
