import { withMutex } from '../../sync/mutex.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import {
  SOCKET_CONNECTED,
  SOCKET_CONNECTING,
  SOCKET_LISTENING,
  Socket,
  Sockets,
} from '../../sync/records/socket.js';
import { textString } from '../../sync/text.js';
import { type InetAddress, isVersion4, localInet, remoteInet } from '../sockets/inetAddress.js';
import { listInterfaces } from '../sockets/interfaces.js';
import { AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM } from '../sockets/socketNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { DEV_PROC } from './fileStatus.js';
import { fixedDirectory, type MadeNode, madeText } from './madeNode.js';

/** /proc/PID/net: sockets and interfaces (man 5 proc). All guests of a machine are in one network. */

/** The sockets that have an open file and that `choose`. */
function list(
  t: ThreadContext,
  choose: (socket: number) => boolean,
  line: (socket: number) => string,
): string {
  const { mem, thread } = t;
  const global = mem.atomicLoad(MACHINE + Machine.sockets) >>> 0;
  if (global === 0) return '';
  const lines: string[] = [];
  withMutex(mem, global + Sockets.lock, thread, () => {
    for (let s = mem.getU32(global + Sockets.all); s !== 0; s = mem.getU32(s + Socket.nextOfAll))
      if (choose(s)) lines.push(line(s));
  });
  return lines.join('');
}

const hexadecimal = (value: number, digits: number): string =>
  value.toString(16).toUpperCase().padStart(digits, '0');

/** An address as /proc writes it: words of the host's byte order in hexadecimal. */
function formatEnd(family: number, { address, port }: InetAddress): string {
  const bytes = Buffer.from(address, 'hex');
  const shown =
    family === AF_INET || (family !== AF_INET6 && isVersion4(address)) ? bytes.subarray(12) : bytes;
  let text = '';
  for (let at = 0; at < shown.length; at += 4) text += hexadecimal(shown.readUInt32LE(at), 8);
  return `${text}:${hexadecimal(port, 4)}`;
}

const TCP_ESTABLISHED = 1;
const TCP_SYN_SENT = 2;
const TCP_CLOSE = 7;
const TCP_CLOSE_WAIT = 8;
const TCP_LISTEN = 10;

function inetState(t: ThreadContext, socket: number): number {
  switch (t.mem.atomicLoad(socket + Socket.state)) {
    case SOCKET_CONNECTED:
      return (t.mem.atomicLoad(socket + Socket.shut) & 1) !== 0 ? TCP_CLOSE_WAIT : TCP_ESTABLISHED;
    case SOCKET_CONNECTING:
      return TCP_SYN_SENT;
    case SOCKET_LISTENING:
      return TCP_LISTEN;
    default:
      return TCP_CLOSE;
  }
}

function inet(t: ThreadContext, family: number, type: number): string {
  const { mem } = t;
  const wide = family === AF_INET6 ? '                         ' : '';
  const title = `  sl  local_address ${wide}${wide === '' ? 'rem_address  ' : 'remote_address       '} st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n`;
  let row = 0;
  return (
    title +
    list(
      t,
      (s) =>
        mem.getU32(s + Socket.family) === family &&
        mem.getU32(s + Socket.type) === type &&
        // What is neither bound nor connected is in no table of the kernel's.
        mem.getU32(s + Socket.localPort) !== 0,
      (s) => {
        const waiting =
          mem.atomicLoad(s + Socket.state) === SOCKET_LISTENING
            ? mem.atomicLoad(s + Socket.waiting)
            : mem.atomicLoad(s + Socket.used);
        const ends = `${formatEnd(family, localInet(mem, s))} ${formatEnd(family, remoteInet(mem, s))}`;
        const rest = `${hexadecimal(inetState(t, s), 2)} 00000000:${hexadecimal(waiting, 8)} 00:00000000 00000000`;
        const uid = String(mem.getU32(s + Socket.uid)).padStart(5);
        return `${String(row++).padStart(4)}: ${ends} ${rest} ${uid}        0 ${mem.getU32(s + Socket.id)} 1 0000000000000000 0\n`;
      },
    )
  );
}

function unix(t: ThreadContext): string {
  const { mem } = t;
  return (
    'Num       RefCount Protocol Flags    Type St Inode Path\n' +
    list(
      t,
      (s) => mem.getU32(s + Socket.family) === AF_UNIX,
      (s) => {
        const state = mem.atomicLoad(s + Socket.state);
        const listening = state === SOCKET_LISTENING;
        const name = textString(mem, mem.getU32(s + Socket.name));
        const shown = name.startsWith('\0') ? `@${name.slice(1)}` : name.replace(/\0$/, '');
        const numbers = [
          `${'0'.repeat(16)}: ${hexadecimal(2, 8)} 00000000 ${listening ? '00010000' : '00000000'}`,
          hexadecimal(mem.getU32(s + Socket.type), 4),
          state === SOCKET_CONNECTED ? '03' : '01',
          String(mem.getU32(s + Socket.id)).padStart(5),
        ];
        return `${numbers.join(' ')}${shown === '' ? '' : ` ${shown}`}\n`;
      },
    )
  );
}

function devices(t: ThreadContext): string {
  const zeros = Array.from({ length: 16 }, () => '0').join(' ');
  return (
    'Inter-|   Receive                                                |  Transmit\n' +
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n' +
    listInterfaces(t.mem)
      .map(({ name }) => `${name.padStart(6)}: ${zeros}\n`)
      .join('')
  );
}

function inet6Addresses(t: ThreadContext): string {
  return listInterfaces(t.mem)
    .flatMap((one) =>
      one.addresses
        .filter(({ version }) => version === 6)
        .map(({ address, prefix }) => {
          const scope = one.loopback ? '10' : address.startsWith('fe8') ? '20' : '00';
          const index = one.index.toString(16).padStart(2, '0');
          return `${address} ${index} ${prefix.toString(16).padStart(2, '0')} ${scope} 80 ${one.name.padStart(8)}\n`;
        }),
    )
    .join('');
}

/** The directory net at `path` of /proc. */
export function netDirectory(path: string): MadeNode {
  const text = (name: string, render: (t: ThreadContext) => string): MadeNode =>
    madeText(`${path}/${name}`, DEV_PROC, render);
  return fixedDirectory(path, DEV_PROC, {
    tcp: text('tcp', (t) => inet(t, AF_INET, SOCK_STREAM)),
    tcp6: text('tcp6', (t) => inet(t, AF_INET6, SOCK_STREAM)),
    udp: text('udp', (t) => inet(t, AF_INET, SOCK_DGRAM)),
    udp6: text('udp6', (t) => inet(t, AF_INET6, SOCK_DGRAM)),
    unix: text('unix', unix),
    dev: text('dev', devices),
    if_inet6: text('if_inet6', inet6Addresses),
    route: text(
      'route',
      () => 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n',
    ),
  });
}
