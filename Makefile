# luamemtrace: build, check, bench, lint, install. `make help` lists the targets.
# SPDX-License-Identifier: MIT

VERSION := $(shell tools/version.sh)

# Knobs
PREFIX ?= /usr/local
DESTDIR ?=
WERROR ?= 1
V ?= 0
SAN ?= 0
WITH_BCC ?= 0
DECODER ?= zydis
STATIC ?= 0
B ?= build
ARCH := x86

# Tools
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= bpftool

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' '$(1)' '$(2)')

# Flags
, := ,
WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wswitch-enum -Wvla \
	$(if $(filter 1,$(WERROR)),-Werror)
SANFLAGS := $(if $(filter 1,$(SAN)),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined)
CPPFLAGS += -D_GNU_SOURCE -DLMT_VERSION='"$(VERSION)"' -Iuser -Ibpf -I$(B)/bpf -I.
CFLAGS ?= -O2 -g
# A stray write in a root program is to end it; sanitizers and -O0 do not go with the second.
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE \
	$(if $(filter 1,$(SAN)),,$(if $(filter -O1 -O2 -O3 -Os,$(CFLAGS)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
# The same bytes from whatever folder.
MAPDIR := -ffile-prefix-map=$(CURDIR)=.
CFLAGS += -std=gnu11 $(WARN) $(HARDEN) $(MAPDIR) $(SANFLAGS) -MMD -MP
LDFLAGS += $(if $(filter 1,$(STATIC)),-static-pie -s,-pie) -Wl,-z,relro,-z,now
BPFFLAGS := $(MAPDIR) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Ivmlinux/x86_64 -Ibpf \
	-Wall -Wextra -Wno-unused-parameter $(if $(filter 1,$(WERROR)),-Werror) -MMD -MP
# C functions are named by elfutils, or with WITH_BCC=1 by BCC's library (libbpfcc-dev).
BCC_LIBS := $(if $(filter 1,$(WITH_BCC)),-lbcc)
symbols_flags := $(if $(filter 1,$(WITH_BCC)),-DWITH_BCC)
# Instructions are decoded by Zydis, or with DECODER=capstone by Capstone, which has a static library.
decoder_lib := $(if $(filter capstone,$(DECODER)),-lcapstone,-lZydis)
# What libdw.a and libelf.a want more: zstd only where they were built with it.
STATIC_LIBS := -lbz2 $(if $(wildcard /usr/lib/*/libzstd.a),-lzstd)
LDLIBS := $(BCC_LIBS) -lsqlite3 -lbpf -ldw -lelf $(if $(filter 1,$(STATIC)),$(STATIC_LIBS)) -llzma -lz \
	$(decoder_lib) -lm

# Sources: a stage is a folder
STAGES := base discover resolve attach collect census heap report archive trace record cli
SRCS := $(foreach s,$(STAGES),$(wildcard user/$(s)/*.c))
SRCS := $(if $(filter 1,$(WITH_BCC)),$(SRCS),$(filter-out user/collect/symbols_bcc.c,$(SRCS)))
SRCS := $(filter-out user/resolve/insn_$(if $(filter capstone,$(DECODER)),zydis,capstone).c,$(SRCS))
OBJS := $(SRCS:%.c=$(B)/%.o)
LIB_OBJS := $(filter-out $(B)/user/cli/main.o,$(OBJS))
BPF_SRCS := $(wildcard bpf/*.bpf.c)
BPF_OBJS := $(BPF_SRCS:bpf/%.c=$(B)/bpf/%.o)
SKEL := $(B)/bpf/luamemtrace.skel.h
LAYOUTS := $(wildcard user/resolve/layouts/*.tsv)

# Tests: a C file each for units (cmocka) and for BPF code on the host. A host is a program that
# the integration tests trace: tests/hosts/X.c becomes build/hosts/X-RUNTIME for each runtime,
# tests/hosts/plain/X.[cS] becomes build/hosts/X by the flags in its first line that says "build:".
UNITS := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/unit/t_*.c tests/bpf/t_*.c))
HOST_RUNTIMES := lua5.1 lua5.2 lua5.3 lua5.4 luajit lua5.1-c++ lua5.2-c++ lua5.3-c++ lua5.4-c++
HOST_SRCS := $(wildcard tests/hosts/*.c)
PLAIN_SRCS := $(wildcard tests/hosts/plain/*.c tests/hosts/plain/*.S)
HOSTS := $(foreach r,$(HOST_RUNTIMES),$(HOST_SRCS:tests/hosts/%.c=$(B)/hosts/%-$(r))) \
	$(patsubst tests/hosts/plain/%,$(B)/hosts/%,$(basename $(PLAIN_SRCS)))
INTEGRATION := $(sort $(wildcard tests/integration/[0-9]*.sh))

.PHONY: all static completions uninstall dist check-packaging check fuzz soak check-integration check-kernels check-compilers hosts lint bench bench-census install clean help deps-check
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/luamemtrace ## Build the program: build/luamemtrace

static: ## One file that runs on any x86-64 Linux: build/static/luamemtrace
	$(Q)$(MAKE) --no-print-directory B=$(B)/static STATIC=1 DECODER=capstone all

# Rules
$(B)/luamemtrace: $(OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c | deps-check
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(B)/user/collect/symbols.o: CPPFLAGS += $(symbols_flags)
$(B)/user/collect/symbols.o: $(B)/with-bcc-$(WITH_BCC)
$(B)/with-bcc-%:
	@mkdir -p $(@D); rm -f $(B)/with-bcc-*; touch $@

$(filter $(B)/user/attach/% $(B)/user/collect/live.o,$(OBJS)): $(SKEL)
$(B)/user/resolve/layouts.o: $(LAYOUTS)
$(B)/user/report/svg.o $(B)/user/report/html.o $(B)/user/report/page.o: $(wildcard user/report/assets/*)

$(B)/bpf/%.bpf.o: bpf/%.bpf.c | deps-check
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPFFLAGS) -c -o $@ $<

$(B)/bpf/luamemtrace.o: $(BPF_OBJS)
	$(call say,BPFLD,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(SKEL): $(B)/bpf/luamemtrace.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name skel > $@

deps-check: # names the missing package instead of letting a compiler fail
	@CC='$(CC)' CLANG='$(CLANG)' BPFTOOL='$(BPFTOOL)' WITH_BCC=$(WITH_BCC) \
		DECODER=$(DECODER) STATIC=$(STATIC) tools/check-deps.sh

# Checks
$(B)/tests/%: tests/%.c $(LIB_OBJS) $(SKEL)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) -Itests/bpf $(CFLAGS) -Wno-missing-prototypes -MF $@.d -o $@ $< $(LIB_OBJS) \
		-lcmocka $(LDLIBS)

# Holds both decoders against each other, where the other's library is there.
ifneq ($(wildcard /usr/include/capstone/capstone.h),)
$(B)/tests/unit/t_insn: CPPFLAGS += -DHAVE_CAPSTONE $(if $(filter capstone,$(DECODER)),-DBY_CAPSTONE)
$(B)/tests/unit/t_insn: LDLIBS := -lcapstone -lZydis $(LDLIBS)
endif

# Holds both ways to name functions against each other, where BCC's library is there.
ifneq ($(wildcard /usr/include/bcc/bcc_syms.h),)
$(B)/tests/unit/t_symbols: CPPFLAGS += -DHAVE_BCC
$(B)/tests/unit/t_symbols: LDLIBS := -lbcc $(LDLIBS)
$(B)/tests/unit/t_symbols: LIB_OBJS := $(sort $(LIB_OBJS) $(B)/user/collect/symbols_bcc.o)
$(B)/tests/unit/t_symbols: $(B)/user/collect/symbols_bcc.o
endif

define host_rules
$(B)/hosts/%-$(1): tests/hosts/%.c
	@mkdir -p $$(@D)
	$$(call say,HOST,$$@)
	$$(Q)$$(CC) -O2 -g -pthread -Wall -o $$@ $$< $$$$(pkg-config --cflags --libs $(1)) -ldl -lm
endef
$(foreach r,$(HOST_RUNTIMES),$(eval $(call host_rules,$(r))))

plain = @mkdir -p $(@D); f=$$(sed -n 's/.*build: *\([^*]*\).*/\1/p' $< | head -n 1); \
	printf '  HOST  %s\n' '$@'; $(CC) -O2 -g -o $@ $< $$f
$(B)/hosts/%: tests/hosts/plain/%.c
	$(plain)
$(B)/hosts/%: tests/hosts/plain/%.S
	$(plain)

# A fuzz target by itself repeats fixed mutations; make fuzz lets libFuzzer look for new ones.
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(filter-out %/drive.c,$(wildcard tests/fuzz/*.c)))
$(B)/fuzz/%-plain: tests/fuzz/%.c tests/fuzz/drive.c $(LIB_OBJS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(filter-out -MMD -MP,$(CPPFLAGS) $(CFLAGS)) -o $@ $^ $(LDLIBS)

FUZZ_FLAGS := -O1 -g -std=gnu11 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
$(B)/fuzz/obj/%.o: %.c $(SKEL)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<
$(B)/fuzz/%-libfuzzer: $(B)/fuzz/obj/tests/fuzz/%.o $(LIB_OBJS:$(B)/%=$(B)/fuzz/obj/%)
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

fuzz: $(FUZZ:%=%-libfuzzer) ## Fuzz targets for libFuzzer, with sanitizers: build/fuzz/*-libfuzzer

hosts: $(HOSTS) # programs for the integration tests to trace

check: all $(UNITS) $(B)/fuzz/db-plain $(B)/fuzz/suppress-plain ## Unit and golden tests: no privilege needed
	$(Q)CMOCKA_MESSAGE_OUTPUT=TAP BUILD=$(abspath $(B)) prove -e '' $(UNITS) tests/golden/run.sh tests/fuzz/run.sh
	$(Q)CLANG='$(CLANG)' tools/bpf-insns.sh $(B)

soak: all hosts ## Half an hour of processes that come, go and die under trace: root and BPF
	$(Q)BUILD=$(abspath $(B)) SOAK=$${SOAK:-1800} tests/integration/0830-soak.sh

check-integration: all hosts ## Tests on real processes: needs root and BPF
	$(Q)BUILD=$(abspath $(B)) PROVEFLAGS='$(PROVEFLAGS)' tests/integration/run.sh $(INTEGRATION)

# Rooms in which no line is wider than 100 columns.
NARROW := $(addprefix user/,base discover heap report archive trace record cli) tests/unit tests/fuzz
check-kernels: all hosts ## On Debian's kernels, in emulation: KERNELS='6.1 7.3'; SHORT=1 as the tests do
	$(Q)BUILD=$(abspath $(B)) prove -e '' -v tests/kernels/run.sh :: $(if $(SHORT),--short) $(KERNELS)

check-compilers: all hosts ## By each clang in reach, and on the next Debian's tool chain: root, an hour
	$(Q)prove -e '' -v tools/check-compilers.sh :: $(B)

lint: $(B)/bpf/luamemtrace.o ## Layers, function lengths, shell scripts, manual, what is pointed at
	$(Q)tools/check-layers.sh
	$(Q)tools/check-fnlen.py $$(git ls-files 'user/*.[ch]' 'bpf/*.[ch]' 'tests/*.[ch]')
	$(Q)tools/check-width.py $$(git ls-files $(NARROW:%='%/*.[ch]'))
	$(Q)shellcheck -x $$(git ls-files 'tools/*.sh' 'tests/**/*.sh' 'packaging/*.sh' .ci/run)
	$(Q)tools/check-docs.sh
	$(Q)tools/check-pointers.py
	$(Q)mandoc -T lint -W warning docs/*.[58]
	$(Q)tools/bpf-stack.py $<

bench: all hosts ## Measure: bare, floor, exact; ratios
	$(Q)BUILD=$(abspath $(B)) tests/bench/run.sh

bench-census: all hosts ## Measure the census: time, memory and pause on heaps up to 1 GiB
	$(Q)BUILD=$(abspath $(B)) tests/bench/census.sh

# Where shells look for completions, and the file that each makes of the option table.
COMPLETIONS := bash:share/bash-completion/completions/luamemtrace zsh:share/zsh/site-functions/_luamemtrace \
	fish:share/fish/vendor_completions.d/luamemtrace.fish
completions: $(B)/luamemtrace
	$(Q)for s in bash zsh fish; do tools/completions.sh $< $$s >$(B)/completion.$$s || exit 1; done

# FILE:PLACE below PREFIX; units stand for PREFIX in /usr, and name another if that is given.
INSTALLED := docs/luamemtrace.8:share/man/man8/luamemtrace.8 docs/luamemtrace-db.5:share/man/man5/luamemtrace-db.5 \
	$(COMPLETIONS:%=$(B)/completion.%)
UNITDIR ?= $(PREFIX)/lib/systemd/system
UNITS_SYSTEMD := luamemtrace-serve.service luamemtrace-record.service

install: all completions ## Install to DESTDIR/PREFIX; UNITDIR= leaves systemd's units out
	install -D -m 755 $(B)/luamemtrace $(DESTDIR)$(PREFIX)/sbin/luamemtrace
	for f in $(INSTALLED); do install -D -m 644 $${f%:*} $(DESTDIR)$(PREFIX)/$${f#*:} || exit 1; done
	[ -z "$(UNITDIR)" ] || for u in $(UNITS_SYSTEMD); do install -d $(DESTDIR)$(UNITDIR) && \
		sed 's,/usr/sbin,$(PREFIX)/sbin,' packaging/systemd/$$u >$(DESTDIR)$(UNITDIR)/$$u || exit 1; done

uninstall: ## Take away what install put there
	rm -f $(DESTDIR)$(PREFIX)/sbin/luamemtrace $(foreach f,$(INSTALLED),$(DESTDIR)$(PREFIX)/$(lastword $(subst :, ,$(f)))) \
		$(UNITS_SYSTEMD:%=$(DESTDIR)$(UNITDIR)/%)

DIST := luamemtrace-$(VERSION)
dist: ## The sources in one file, the same bytes each time: build/luamemtrace-VERSION.tar.gz
	@mkdir -p $(B)
	$(Q)git ls-files -z | tar --null -T - --transform 's,^,$(DIST)/,' --sort=name --owner=0 --group=0 --numeric-owner \
		--mode=go=rX,u+rw,a-s --mtime=@$$(git log -1 --format=%ct) -c | gzip -9n >$(B)/$(DIST).tar.gz

check-packaging: ## Package, units, container file, manifests: built, looked at, started where that can be
	$(Q)BUILD=$(abspath $(B)) prove -e '' -v packaging/check.sh

clean: ## Remove build/
	rm -rf $(B)

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

-include $(OBJS:.o=.d) $(LIB_OBJS:$(B)/%.o=$(B)/fuzz/obj/%.d) $(BPF_OBJS:.o=.d) $(UNITS:=.d)
