# luamemtrace: build, check, bench, lint, install. `make help` lists the targets.
# SPDX-License-Identifier: MIT

VERSION := 0.1.0

# Knobs
PREFIX ?= /usr/local
DESTDIR ?=
WERROR ?= 1
V ?= 0
SAN ?= 0
B ?= build
ARCH := x86

# Tools
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= bpftool

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' '$(1)' '$(2)')

# Flags
WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wswitch-enum -Wvla \
	$(if $(filter 1,$(WERROR)),-Werror)
SANFLAGS := $(if $(filter 1,$(SAN)),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined)
CPPFLAGS += -D_GNU_SOURCE -DLMT_VERSION='"$(VERSION)"' -Iuser -Ibpf -I$(B)/bpf -I.
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu11 $(WARN) $(SANFLAGS) -MMD -MP
BPFFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Ivmlinux/x86_64 -Ibpf \
	-Wall -Wextra -Wno-unused-parameter $(if $(filter 1,$(WERROR)),-Werror) -MMD -MP
LDLIBS := -lbpf -ldw -lelf -lZydis -lm
, := ,

# Sources: a stage is a folder
STAGES := base discover resolve attach collect heap report cli
SRCS := $(foreach s,$(STAGES),$(wildcard user/$(s)/*.c))
OBJS := $(SRCS:%.c=$(B)/%.o)
LIB_OBJS := $(filter-out $(B)/user/cli/main.o,$(OBJS))
BPF_SRCS := $(wildcard bpf/*.bpf.c)
BPF_OBJS := $(BPF_SRCS:bpf/%.c=$(B)/bpf/%.o)
SKEL := $(B)/bpf/luamemtrace.skel.h
LAYOUTS := $(wildcard user/resolve/layouts/*.tsv)

.PHONY: all check check-integration lint bench install clean help deps-check FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/luamemtrace ## Build the program: build/luamemtrace

# Rules
$(B)/luamemtrace: $(OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c | deps-check
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(filter $(B)/user/attach/% $(B)/user/collect/live.o,$(OBJS)): $(SKEL)
$(B)/user/resolve/layouts.o: $(LAYOUTS)

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
	@CC='$(CC)' CLANG='$(CLANG)' BPFTOOL='$(BPFTOOL)' tools/check-deps.sh

clean: ## Remove build/
	rm -rf $(B)

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

-include $(OBJS:.o=.d) $(BPF_OBJS:.o=.d)
