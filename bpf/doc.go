// Package bpf holds the packet program of Isthmus: its source in C, the
// object that it was compiled to, and the types that both sides share.
//
// datapath.c is the program and types.h the only source of the shared
// structures and enums; "go generate" compiles the one and turns the other
// into Go (clang 14 or later, libbpf's headers and the kernel's). The packet's
// story is told in internal/tables/README.md.
package bpf

//go:generate go tool bpf2go -target bpfel -cc clang -output-stem datapath -type addr -type drop_reason -type epoch_slot -type eni_kind -type eni_flags -type eni -type source_key -type mapping_key -type route_key -type route_kind -type route -type rule_key -type rule -type range_key -type range -type listener_key -type listener_flags -type listener -type target -type member_key -type flow_key -type flow_flags -type flow -type endpoint -type detail -type drop_key dp datapath.c -- -O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -fno-strict-aliasing -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
