/** Numbers of socket(2), send(2) and recv(2) (include/linux/socket.h, include/linux/net.h). */

export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;

/** Bits of Socket.shut. */
export const SHUT_RECEIVE = 1;
export const SHUT_SEND = 2;
export const SHUT_BOTH = 3;

export const MSG_OOB = 0x1;
export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_EOR = 0x80;
export const MSG_WAITALL = 0x100;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_WAITFORONE = 0x1_0000;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;

/** Bits of Socket.options: those that change what a socket does. */
export const OPTION_PASS_CREDENTIALS = 1;
export const OPTION_REUSE_ADDRESS = 2;
export const OPTION_REUSE_PORT = 4;
export const OPTION_V6_ONLY = 8;
export const OPTION_BROADCAST = 16;
/** SO_OOBINLINE. */
export const OPTION_URGENT_INLINE = 64;
/** A connect that did not wait is under way, or its end has not been asked for. */
export const OPTION_CONNECT_PENDING = 32;
