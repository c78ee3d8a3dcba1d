// A server that does what a test tells it, on a Unix socket of its own.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from '@msgpack/msgpack';
import { frame } from '../dist/esm/wire.js';

const OFFER = ['pannier', 1, { server: 'scripted', id: 1, auth: false, features: ['lease', 'auth'] }];

/** answer(socket, op, id, args) is called for each request. */
export async function serve(t, answer, preface = Buffer.concat([Buffer.from([0xc1]), frame(OFFER)])) {
  const folder = mkdtempSync(join(tmpdir(), 'pannier-node-'));
  const sockets = new Set();
  const server = { path: join(folder, 's'), requests: [], accepted: 0,
    dropAll: () => sockets.forEach((s) => s.destroy()) };
  const listener = createServer((socket) => {
    let data = Buffer.alloc(0);
    let greeted = false;
    server.accepted++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    socket.write(preface);
    socket.on('data', (chunk) => {
      data = Buffer.concat([data, chunk]);
      if (!greeted) data = data.subarray(1);
      for (;;) {
        const head = data[0] === 0xcd ? 3 : data[0] === 0xcc ? 2 : 1;
        if (data.length < head) return;
        const n = head === 1 ? data[0] : data.readUIntBE(1, head - 1);
        if (data.length < head + n) return;
        const body = decode(data.subarray(head, head + n));
        data = data.subarray(head + n);
        if (greeted) {
          server.requests.push(body);
          answer(socket, body[0], body[1], body.slice(2));
        }
        greeted = true;
      }
    });
  });
  await new Promise((resolve) => listener.listen(server.path, resolve));
  t.after(async () => {
    server.dropAll();
    await new Promise((resolve) => listener.close(resolve));
    rmSync(folder, { recursive: true });
  });
  return server;
}

export const reply = (socket, ...fields) => socket.write(frame(fields));
