import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { guestEsbuild } from '../../bench/demo/guestProgram.js';
import { repository, runGuest } from '../../bench/hostProgram.js';
import { createMachine } from '../../src/index.js';
import { findDebianRoot } from './debianRoot.js';

const root = findDebianRoot();
const missing = typeof root !== 'string';
const folder = mkdtempSync(join(tmpdir(), 'guesthouse-network-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let folders = 0;

/** Runs a program of the root in a folder of its own, seen as /scratch; `files` are put there before. */
function run(
  network: string,
  program: string,
  args: readonly string[],
  files: Readonly<Record<string, string>> = {},
  onOutput?: (text: string, kill: (signal: NodeJS.Signals) => void) => void,
) {
  const work = join(folder, String(folders++));
  mkdirSync(work);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(work, name), text);
  const environment = ['PATH=/usr/bin:/bin', 'HOME=/scratch', 'LC_ALL=C', 'PYTHONUNBUFFERED=1'];
  const options = ['--net', network, '-L', root as string, '--dir', `${work}:/scratch`, '-C', '/scratch'];
  for (const pair of environment) options.push('-E', pair);
  return runGuest(options, join(root as string, 'usr/bin', program), args, {
    timeout: 280_000,
    ...(onOutput !== undefined && { onOutput }),
  });
}

async function output(...args: Parameters<typeof run>): Promise<string> {
  const { stdout, stderr, code, signal } = await run(...args);
  expect({ end: code ?? signal, stderr }).toEqual({ end: 0, stderr: '' });
  return stdout;
}

/** A port of the host's loopback that is free at the moment. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const retry = (command: string) =>
  `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do ${command} && break; sleep 0.5; done`;

const long = { timeout: 300_000 };

describe(`programs of Debian in a network${missing ? ` (${root.missing})` : ''}`, () => {
  it.skipIf(missing)('redis serves its own clients by TCP and by a Unix socket', long, async () => {
    const script = `
      redis-server --port 7001 --save '' --unixsocket /scratch/r.sock > log &
      ${retry('redis-cli -p 7001 ping 2> /dev/null')}
      redis-cli -p 7001 set a b; redis-cli -s /scratch/r.sock get a
      redis-cli -p 7001 shutdown; wait; grep -c 'bye bye' log`;
    expect(await output('none', 'bash', ['-c', script])).toBe('PONG\nOK\nb\n1\n');
  });

  it.skipIf(missing)('redis serves a client of the host', long, async () => {
    const port = await freePort();
    const answers: string[] = [];
    let asked = false;
    const talk = async (): Promise<void> => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      const ask = (...words: string[]) =>
        new Promise<string>((resolve) => {
          socket.once('data', (bytes) => resolve(String(bytes)));
          socket.write(`*${words.length}\r\n${words.map((w) => `$${w.length}\r\n${w}\r\n`).join('')}`);
        });
      answers.push(await ask('PING'), await ask('SET', 'k', 'value'), await ask('GET', 'k'));
      for (let i = 0; i < 50; i++) await ask('INCR', 'n');
      answers.push(await ask('GET', 'n'));
      socket.write('*1\r\n$8\r\nSHUTDOWN\r\n');
    };
    const args = ['--port', String(port), '--save', ''];
    const ended = await run('loopback', 'redis-server', args, {}, (text) => {
      if (asked || !text.includes('Ready to accept connections')) return;
      asked = true;
      void talk();
    });
    expect(ended.code).toBe(0);
    expect(answers).toEqual(['+PONG\r\n', '+OK\r\n', '$5\r\nvalue\r\n', '$2\r\n50\r\n']);
  });

  it.skipIf(missing)('curl and wget read from a server of the host', long, async () => {
    const large = Buffer.alloc(2_000_000, 'guesthouse ');
    const server = createServer((request, answer) => {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on('end', () => answer.end(request.url === '/large' ? large : `${request.method} ${bytes}\n`));
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const script = `
        busybox wget -q -O large ${url}/large && sha256sum large | cut -d' ' -f1
        printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc 127.0.0.1 ${url.split(':')[2]} | tail -n 1
        command -v curl > /dev/null || { echo 'POST 2000000'; exit; }
        curl -s --data-binary @large ${url}/post`;
      const digest = createHash('sha256').update(large).digest('hex');
      expect(await output('loopback', 'bash', ['-c', script])).toBe(`${digest}\nGET 0\nPOST 2000000\n`);
      // Without a network there is nobody at that address.
      const apart = await run('none', 'busybox', ['wget', '-q', '-O', '-', `${url}/`]);
      expect(apart.code).toBe(1);
      expect(apart.stderr).toContain('Connection refused');
    } finally {
      server.close();
    }
  });

  it.skipIf(missing)("python: a host's client of http.server", long, async () => {
    const port = await freePort();
    let page = '';
    const ended = await run(
      'loopback',
      'python3.13',
      ['-m', 'http.server', '--bind', '127.0.0.1', String(port)],
      { 'page.txt': 'served by a guest\n' },
      (text, kill) => {
        if (page !== '' || !text.includes('Serving HTTP')) return;
        get({ port, path: '/page.txt' }, (answer) => {
          answer.on('data', (bytes) => {
            page += bytes;
          });
          answer.on('end', () => kill('SIGTERM'));
        });
      },
    );
    expect(page).toBe('served by a guest\n');
    expect(ended.signal ?? ended.code).toBe(143);
  });

  it.skipIf(missing)('python: asyncio, multiprocessing.connection, descriptors, names', long, async () => {
    const script = `
import asyncio, multiprocessing as mp, multiprocessing.connection as mc, socket
async def main():
    async def upper(r, w):
        while data := await r.readline(): w.write(data.upper()); await w.drain()
        w.close()
    server = await asyncio.start_server(upper, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def client(i):
        r, w = await asyncio.open_connection("127.0.0.1", port)
        w.write(b"line %d\\n" % i); line = await r.readline(); w.close(); await w.wait_closed(); return line
    print(sorted(await asyncio.gather(*[client(i) for i in range(3)])))
    server.close()
    server = await asyncio.start_unix_server(upper, "/scratch/u.sock")
    r, w = await asyncio.open_unix_connection("/scratch/u.sock")
    w.write(b"unix\\n"); print(await r.readline()); w.close(); server.close()
asyncio.run(main())
def child(address):
    with mc.Client(address, authkey=b"k") as c: c.send({"from": "child"}); c.recv()
for family in ("AF_INET", "AF_UNIX"):
    with mc.Listener(("127.0.0.1", 0) if family == "AF_INET" else None, family, authkey=b"k") as l:
        p = mp.get_context("fork").Process(target=child, args=(l.address,)); p.start()
        with l.accept() as c: print(c.recv()); c.send("back")
        p.join(); print(p.exitcode)
a, b = socket.socketpair(); socket.send_fds(a, [b"x"], [0, 1]); print(len(socket.recv_fds(b, 10, 4)[1]))
print(socket.gethostbyname("localhost"), socket.if_nameindex()[0])
`;
    expect(await output('none', 'python3.13', ['-c', script])).toBe(
      "[b'LINE 0\\n', b'LINE 1\\n', b'LINE 2\\n']\nb'UNIX\\n'\n{'from': 'child'}\n0\n{'from': 'child'}\n0\n2\n127.0.0.1 (1, 'lo')\n",
    );
  });

  it.skipIf(missing)('python: datagrams to and from the host', long, async () => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await new Promise((resolve) => socket.once('listening', resolve));
    socket.on('message', (bytes, from) =>
      socket.send(`${bytes} from ${from.address}`.toUpperCase(), from.port, from.address),
    );
    const script = `
import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(20)
s.sendto(b"one", ("127.0.0.1", ${socket.address().port})); print(s.recvfrom(99)[0])
c = socket.socket(type=socket.SOCK_DGRAM); c.settimeout(20); c.connect(("127.0.0.1", ${socket.address().port}))
c.send(b"two"); print(c.recv(99), c.getsockname()[0])
`;
    try {
      expect(await output('loopback', 'python3.13', ['-c', script])).toBe(
        "b'ONE FROM 127.0.0.1'\nb'TWO FROM 127.0.0.1' 127.0.0.1\n",
      );
    } finally {
      socket.close();
    }
  });

  it.skipIf(missing)('git clones from its own daemon', long, async () => {
    const script = `
      export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
      git init -q -b main r; (cd r; echo one > f; git add f; git commit -qm one)
      git clone -q file:///scratch/r d && cat d/f
      git daemon --export-all --base-path=/scratch --listen=127.0.0.1 --port=9418 2> /dev/null &
      ${retry('git clone -q git://127.0.0.1/r c 2> /dev/null')}
      cat c/f; git -C c fsck; kill $!; wait $! || echo "daemon $?"`;
    expect(await output('none', 'bash', ['-c', script])).toBe('one\none\ndaemon 143\n');
  });

  it.skipIf(missing)('openssl: s_client and s_server agree', long, async () => {
    const script = `
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out c -subj /CN=x -days 2 2> /dev/null
      openssl s_server -accept 127.0.0.1:4433 -key k -cert c -quiet -rev > /dev/null 2>&1 &
      ${retry('{ echo olleh; sleep 4; } | openssl s_client -connect 127.0.0.1:4433 -CAfile c -verify_return_error -quiet -no_ign_eof 2> /dev/null')}
      kill $!`;
    expect(await output('none', 'bash', ['-c', script])).toBe('hello\n');
  });
});

const fetched = await guestEsbuild(repository, join(repository, '.cache/demo'), () => {}).catch(
  (error: unknown) => `it can't be had: ${error instanceof Error ? error.message : error}`,
);
const noEsbuild = typeof fetched === 'string';

describe(`esbuild's server, which is Go's net/http${noEsbuild ? ` (${fetched})` : ''}`, () => {
  it.skipIf(noEsbuild)('serves many clients of the host at once', long, async () => {
    const work = join(folder, 'pages');
    mkdirSync(work);
    writeFileSync(join(work, 'index.html'), '<h1>a page</h1>');
    const port = await freePort();
    const page = () =>
      new Promise<string>((resolve, reject) => {
        get({ port, path: '/index.html' }, (answer) => {
          let text = '';
          answer.on('data', (bytes) => {
            text += bytes;
          });
          answer.on('end', () => resolve(`${answer.statusCode} ${text}`));
        }).on('error', reject);
      });
    const machine = await createMachine({ network: 'loopback' });
    let heard: () => void = () => {};
    const ready = new Promise<void>((resolve) => {
      heard = resolve;
    });
    let text = '';
    const hear = (bytes: Uint8Array): void => {
      text += new TextDecoder().decode(bytes);
      if (text.includes('Local:')) heard();
    };
    const guest = await machine.spawn(noEsbuild ? '' : fetched.path, {
      args: [`--serve=127.0.0.1:${port}`, '--servedir=/pages'],
      dirs: [{ host: work, guest: '/pages' }],
      cwd: '/pages',
      // It stops when its input ends.
      stdin: 'pipe',
      stdout: hear,
      stderr: hear,
    });
    await Promise.race([ready, guest.exited]);
    const pages = await Promise.all(Array.from({ length: 20 }, page));
    await machine.close();
    expect(pages).toEqual(Array.from({ length: 20 }, () => '200 <h1>a page</h1>'));
  });
});
