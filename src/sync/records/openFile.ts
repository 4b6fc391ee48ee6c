import { Mutex } from '../mutex.js';
import { array, embedded, i32, pointer, record, u32, u64 } from '../record.js';

/**
 * An open file description (Linux: struct file): what descriptors of one or several guests refer to. `fork` and `dup`
 * share it, and with it the offset and the status flags.
 */
export const OpenFile = record({
  /** Descriptors and system calls under way that refer to it. Atomic; the last one to go releases it. */
  refs: i32,
  /** FILE_*: which operations it has; constant. */
  kind: u32,
  /** O_* access mode and status flags; atomic. */
  flags: i32,
  /** Taken by whatever uses or moves `offset`. Held across host I/O, so never needed by a thread in GUEST mode. */
  offsetLock: embedded(Mutex),
  offset: u64,
  /** HostFile of a regular file (memory/hostFile.ts; one reference), or 0; constant. */
  hostFile: pointer,
  /** Descriptor of the Node process for directories, host standard streams, names of FIFOs and O_PATH, or −1; constant. */
  hostFd: i32,
  /** The record behind the other kinds: Pipe, EventFd, Epoll, Tty, Text … ; constant. */
  object: pointer,
  /** Guest path at open (Text), for /proc/PID/fd and the *at calls; constant. */
  path: pointer,
  /** Device number for FILE_DEVICE, snapshot (DirectoryListing) for directories; offsetLock. */
  detail: pointer,
  /** Unique number: stands in as inode number where there is no file; constant. */
  id: u32,
  /** First EpollItem that watches the file (linked by EpollItem.nextOfFile); FilesGlobal.epollLock. */
  epollItems: pointer,
  /** Who gets SIGIO and SIGURG (F_SETOWN): an id, 0 for nobody; F_OWNER_*; F_SETSIG's signal, or 0. */
  signalOwner: i32,
  ownerType: u32,
  ownerSignal: u32,
  /** Real and effective user of who has set them. */
  ownerUsers: array(u32, 2),
  /** O_ASYNC: the descriptor that signals name, and the next such file of the same source; EventSource.watchLock. */
  asyncFd: i32,
  nextAsync: pointer,
  /** OPEN_* bits; constant after open. */
  attributes: u32,
  /** References that are held by queues of sockets (SCM_RIGHTS); Sockets.lock. */
  inFlight: i32,
});

/** A regular file of the host. */
export const FILE_HOST = 1;
/** A directory of the host. */
export const FILE_HOST_DIRECTORY = 2;
/** A file of /proc, /sys whose text was rendered at open (object: Text). */
export const FILE_TEXT = 3;
/** A directory made by Guesthouse. */
export const FILE_MADE_DIRECTORY = 4;
/** /dev/null and its like (detail: DEVICE_*). */
export const FILE_DEVICE = 5;
/** An end of a pipe, or both (object: Pipe). */
export const FILE_PIPE = 6;
/** eventfd (object: EventFd). */
export const FILE_EVENT = 7;
/** An epoll set (object: Epoll). */
export const FILE_EPOLL = 8;
/** timerfd (object: TimerFd). */
export const FILE_TIMER = 9;
/** A descriptor of the Node process used as it is: standard streams that are files or outputs. */
export const FILE_HOST_STREAM = 10;
/** O_PATH: a name only. */
export const FILE_PATH = 11;
/** A socket (object: Socket). */
export const FILE_SOCKET = 12;
/** memfd_create (object and hostFile as memory/ has it). */
export const FILE_MEMORY = 13;
/** signalfd (object: SignalFd). */
export const FILE_SIGNAL = 14;
/** A pidfd (object: ProcessId). */
export const FILE_PROCESS = 15;

/** A kqueue of FreeBSD's (object: Kqueue). */
export const FILE_KQUEUE = 16;
/** A POSIX message queue (object: PosixQueue). */
export const FILE_MESSAGES = 17;
/** inotify (object: Inotify). */
export const FILE_INOTIFY = 18;
/** A terminal (object: Tty, detail: its hang-ups at open). */
export const FILE_TERMINAL = 20;
/** The other end of a pseudo-terminal (object: Tty). */
export const FILE_MASTER = 21;

/** The host descriptor belongs to somebody else: not closed with the file. */
export const OPEN_BORROWED_FD = 1;
/** The file's mount is read-only. */
export const OPEN_READ_ONLY_MOUNT = 2;
/** open(2) has made the file (F_CREATED_QUERY). */
export const OPEN_CREATED = 4;
/** A host stream whose offset is the OpenFile's own since the guest moved it. */
export const OPEN_OWN_OFFSET = 8;
/** O_CLOEXEC and the like are not here: they belong to the descriptor. */

/** Names of a directory as they were at the first getdents64 after open or rewind. */
export const DirectoryListing = record({
  /** Entries, and bytes of packed entries that follow: u8 d_type, u8 pad, u16 length, name. */
  count: u32,
  bytes: u32,
});
