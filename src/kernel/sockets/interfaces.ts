import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { MACHINE, Machine, NETWORK_HOST } from '../../sync/records/machine.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { addressOfText, LOOPBACK_4, LOOPBACK_6 } from './inetAddress.js';

/** Network interfaces as guests see them: the loopback, and with the host's network the host's others. */

export interface InterfaceAddress {
  /** As InetAddress.address. */
  readonly address: string;
  readonly version: 4 | 6;
  /** Bits of the network part. */
  readonly prefix: number;
  /** The scope of link-local addresses: the interface's index, else 0. */
  readonly scope: number;
}

export interface Interface {
  readonly index: number;
  readonly name: string;
  readonly loopback: boolean;
  readonly mtu: number;
  /** Six bytes. */
  readonly hardware: Uint8Array;
  readonly addresses: readonly InterfaceAddress[];
}

const LOOPBACK: Interface = {
  index: 1,
  name: 'lo',
  loopback: true,
  mtu: 65536,
  hardware: new Uint8Array(6),
  addresses: [
    { address: LOOPBACK_4, version: 4, prefix: 8, scope: 0 },
    { address: LOOPBACK_6, version: 6, prefix: 128, scope: 0 },
  ],
};

/** A number of the host's about an interface, or `otherwise`. */
function fact(name: string, what: string, otherwise: number): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/${what}`, 'latin1'));
  } catch {
    return otherwise;
  }
}

/** The interfaces, by ascending index. */
export function listInterfaces(mem: SharedMemory): Interface[] {
  const found: Interface[] = [LOOPBACK];
  if (mem.getU32(MACHINE + Machine.network) !== NETWORK_HOST) return found;
  let unknown = 100;
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses === undefined || addresses.length === 0 || addresses[0].internal) continue;
    found.push({
      index: fact(name, 'ifindex', unknown++),
      name: name.slice(0, 15),
      loopback: false,
      mtu: fact(name, 'mtu', 1500),
      hardware: Uint8Array.from(addresses[0].mac.split(':').map((byte) => Number.parseInt(byte, 16))),
      addresses: addresses.map((entry) => ({
        address: addressOfText(entry.address),
        version: entry.family === 'IPv6' ? 6 : 4,
        prefix: Number(entry.cidr?.split('/')[1] ?? (entry.family === 'IPv6' ? 64 : 24)),
        scope: entry.family === 'IPv6' ? (entry.scopeid ?? 0) : 0,
      })),
    });
  }
  return found.sort((a, b) => a.index - b.index);
}

/** The host's own addresses. */
export function hostAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return new Set(all.map((entry) => addressOfText(entry.address)));
}

/** Interface flags (man 7 netdevice): IFF_UP, IFF_RUNNING and what is usual of each kind. */
export function interfaceFlags({ loopback }: Interface): number {
  const up = 0x1 | 0x40;
  return loopback ? up | 0x8 : up | 0x2 | 0x1000;
}
