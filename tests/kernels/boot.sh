#!/bin/bash
# Boots a kernel with the guest in emulation, without disks or network; 0 if the guest came to its end.
# usage: boot.sh VMLINUZ INITRAMFS LOG TESTS [KERNEL-PARAMETERS…]      LIMIT (s), SMP, MEM (MiB)
# One thread for all processors: with one each, QEMU 7.2 loses track when a kernel patches its own code,
# and guests go down with "Oops: int3", whatever kernel.
# SPDX-License-Identifier: MIT
set -u
kernel=$1 initrd=$2 log=$3 tests=$4
shift 4
: >"$log"
timeout -k 5 "${LIMIT:-600}" qemu-system-x86_64 -accel tcg,thread=single -cpu max -smp "${SMP:-2}" \
	-m "${MEM:-2048}" -no-reboot -nodefaults -display none -serial "file:$log" -kernel "$kernel" -initrd "$initrd" \
	-append "console=ttyS0 quiet panic=-1 oops=panic rdinit=/init lmt.tests=$tests $*" </dev/null >/dev/null 2>&1
grep -aq '^LMT-KERNEL-DONE' "$log"
