/* SPDX-License-Identifier: MIT */
/* The kernel's types for BPF code compiled for the host: the same ones. */
#include "vmlinux/x86_64/vmlinux.h"
