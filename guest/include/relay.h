/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the relay, which sshd starts, finds the agent. */
#ifndef ABX_RELAY_H
#define ABX_RELAY_H

#define RELAY_SOCKET	"/run/abimatrix-relay"

#endif
