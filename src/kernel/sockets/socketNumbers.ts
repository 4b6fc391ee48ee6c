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

/** Places in Socket.values of what is sent with packets: IP_TTL, IP_TOS, IPV6_UNICAST_HOPS, IPV6_TCLASS. */
export const VALUE_TTL = 0;
export const VALUE_TOS = 1;
export const VALUE_HOPS_6 = 2;
export const VALUE_CLASS_6 = 3;

/** Bits of Socket.options: those that change what a socket does. */
export const OPTION_PASS_CREDENTIALS = 1;
export const OPTION_REUSE_ADDRESS = 2;
export const OPTION_REUSE_PORT = 4;
export const OPTION_V6_ONLY = 8;
export const OPTION_BROADCAST = 16;
/** SO_OOBINLINE. */
export const OPTION_URGENT_INLINE = 64;
/** What a packet's receiver is told beside its bytes (SO_TIMESTAMP…, IP_PKTINFO, IP_RECVTTL, IP_RECVTOS and those of IPv6). */
export const OPTION_TIMESTAMP = 0x80;
export const OPTION_TIMESTAMP_NS = 0x100;
/** Control messages have the numbers of SO_TIMESTAMP_NEW and SO_TIMESTAMPNS_NEW. */
export const OPTION_TIMESTAMP_NEW = 0x200;
export const OPTION_PACKET_INFO = 0x400;
export const OPTION_RECEIVE_TTL = 0x800;
export const OPTION_RECEIVE_TOS = 0x1000;
export const OPTION_PACKET_INFO_6 = 0x2000;
export const OPTION_RECEIVE_HOPS_6 = 0x4000;
export const OPTION_RECEIVE_CLASS_6 = 0x8000;
/** A connect that did not wait is under way, or its end has not been asked for. */
export const OPTION_CONNECT_PENDING = 32;
