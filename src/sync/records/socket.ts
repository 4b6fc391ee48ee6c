import { Mutex } from '../mutex.js';
import { array, embedded, f64, i32, pointer, record, u8, u32, u64 } from '../record.js';
import { EventSource } from './events.js';

/** Bytes of a sockaddr that a mark keeps: the longest is sockaddr_un's, 110. */
export const ADDRESS_ROOM = 112;

/**
 * A socket (Linux: struct sock): what is behind an open file, a connection that nobody has accepted yet, or (`host`) the
 * main thread's end of a connection with the outside. Each has a queue of what it is to receive, which its peer fills.
 *
 * "lock" below is the socket's own; "Sockets.lock" the machine's, which is taken before any socket's own. Fields that poll
 * looks at are read without a lock and therefore written atomically.
 */
export const Socket = record({
  /** Open file, peer's link, place in an accept queue, calls under way, the main thread: the last frees it. Atomic. */
  refs: i32,
  /** AF_*, SOCK_*, IPPROTO_*; constant. */
  family: u32,
  type: u32,
  protocol: u32,
  /** SOCKET_*: where in its life it is. Atomic; changed under lock. */
  state: i32,
  /** SHUT_* bits: 1 nothing more will be received, 2 nothing more can be sent. Atomic. */
  shut: i32,
  /** Pending error (SO_ERROR). Atomic. */
  error: i32,
  /** SOCKET_OPTION_* bits. Atomic. */
  options: i32,
  lock: embedded(Mutex),
  /** Told of everything that happens to it. */
  source: embedded(EventSource),

  // --- the queue of what is to be received; lock ---
  /** Ring of `ringSize` bytes (a power of two; a heap block that grows with need), where its oldest byte is, and how many there are. */
  ring: pointer,
  ringSize: u32,
  ringHead: u32,
  /** Bytes in the queue. Atomic. */
  used: i32,
  /** Packets in the queue: each is its length (u32) and its SocketMark (u32, or 0), then its bytes. Atomic. */
  packets: i32,
  /** Streams: bytes ever taken out; first and last SocketMark. */
  position: u64,
  marksFirst: pointer,
  marksLast: pointer,
  /** Streams: URGENT_*, and where the urgent byte is, as `position` counts. Atomic; changed under lock. */
  urgent: i32,
  urgentAt: u64,
  /** Somebody has found the queue too full: the bytes that were to fit in all; they are told when half of it is free. Atomic. */
  wanted: i32,

  // --- the connection ---
  /** The socket at the other end (one reference), or 0. Streams: set once; datagrams: lock. */
  peer: pointer,
  /** listen: how many connections may wait, and those that do (linked by nextWaiting, one reference each); lock. */
  backlog: i32,
  waiting: i32,
  waitingFirst: pointer,
  waitingLast: pointer,
  nextWaiting: pointer,

  // --- names; lock unless said ---
  /** AF_UNIX: sun_path's bytes (Text), or 0; with its leading NUL when it is abstract. */
  name: pointer,
  /** Host device and inode of a bound path; Sockets.lock. */
  dev: u64,
  ino: u64,
  /** A descriptor of the host that keeps that inode (O_PATH) plus one, or 0. Written before it is in the table; lock. */
  pinned: i32,
  /** AF_INET and AF_INET6: 16 bytes each (IPv4 mapped), ports in host order. */
  localAddress: array(u8, 16),
  remoteAddress: array(u8, 16),
  localPort: u32,
  remotePort: u32,
  /** sin6_scope_id of both. */
  localScope: u32,
  remoteScope: u32,
  /** 1 while in the table of names, and the next one in its bucket; Sockets.lock. */
  bound: u32,
  nextBound: pointer,
  /** Neighbours in Sockets.all; Sockets.lock. */
  nextOfAll: pointer,
  previousOfAll: pointer,

  // --- credentials ---
  /** Process, user and group that made it (or called listen), and those of the other end (SO_PEERCRED). */
  pid: u32,
  uid: u32,
  gid: u32,
  peerPid: u32,
  peerUid: u32,
  peerGid: u32,

  // --- options ---
  /** SO_SNDBUF and SO_RCVBUF as getsockopt tells them, bytes. */
  sendBuffer: u32,
  receiveBuffer: u32,
  /** SO_RCVTIMEO and SO_SNDTIMEO, milliseconds; 0: none. */
  receiveTimeout: f64,
  sendTimeout: f64,
  /** SO_LINGER: −1 off, or seconds. */
  linger: i32,
  lowWater: u32,
  /** Values of options that only ever come back, by INT_OPTION_* index. */
  values: array(i32, 24),

  // --- with the outside: kernel/sockets/hostRequests.ts ---
  /** 1: the main thread's end; constant. */
  host: u32,
  /** A request about it is on its way to the main thread. Atomic. */
  asked: i32,
  /** The main thread's end for datagrams, and for what is bound or listens (one reference), or 0; lock. */
  hostEnd: pointer,
  /** Result of the last request that a thread waits for: −1 while there is none, else errno. Atomic. */
  hostResult: i32,

  // --- descriptors in flight: kernel/sockets/rights.ts ---
  /** Open file that leads to it, or 0 (not accepted yet, or closed); Sockets.lock. */
  file: pointer,
  /** Scratch of the search for unreachable sockets; Sockets.lock. */
  reached: u32,
  /** Unique number: the inode. Constant. */
  id: u32,
});

/** There is no urgent byte; there is one that was not received out of band; it was. */
export const URGENT_NONE = 0;
export const URGENT_VALID = 1;
export const URGENT_READ = 2;

export const SOCKET_UNCONNECTED = 0;
export const SOCKET_CONNECTING = 1;
export const SOCKET_CONNECTED = 2;
export const SOCKET_LISTENING = 3;
export const SOCKET_CLOSED = 4;

/** What goes along with a packet or with bytes of a stream: who sent it, from where, and descriptors. */
export const SocketMark = record({
  /** Next one of a stream's queue; Socket.lock. */
  next: pointer,
  /** Streams: the bytes it belongs to, as Socket.position counts them. */
  start: u64,
  end: u64,
  /** SCM_CREDENTIALS are there. */
  hasCredentials: u32,
  pid: u32,
  uid: u32,
  gid: u32,
  /** Sender's sockaddr; length 0: none. */
  addressLength: u32,
  address: array(u8, ADDRESS_ROOM),
  /** Packets: when they came (microseconds since 1970), where they were sent to (as Socket.localAddress), time to live, class. */
  time: f64,
  toAddress: array(u8, 16),
  hops: u32,
  trafficClass: u32,
  /** Open files (u32 each, a reference each), or 0, and how many. */
  files: pointer,
  fileCount: u32,
});

/** How many buckets the table of names has. */
export const NAME_BUCKETS = 256;

/** Sockets of the machine. */
export const Sockets = record({
  /** Guards names, Socket.file, and moving descriptors in and out of queues. Taken before any Socket.lock. */
  lock: embedded(Mutex),
  /** First of all sockets that have an open file; lock. */
  all: pointer,
  /** Bound sockets by hash of their name; lock. */
  names: array(pointer, NAME_BUCKETS),
  /** Last port and last abstract name given out by itself; lock. */
  lastPort: u32,
  lastName: u32,
  /** Descriptors in queues, and how many of them are sockets. Atomic. */
  inFlight: i32,
  socketsInFlight: i32,
});
