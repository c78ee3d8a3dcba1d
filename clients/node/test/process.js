// Another process that asks for the same key; it loads when it is told to.
import { once } from 'node:events';
import { Client } from 'pannier';

const load = async () => {
  process.send({ loading: true });
  await once(process, 'message');
  return `v${process.pid}`;
};

if (process.send) {
  const client = new Client({ address: process.argv[2], timeoutMs: 60_000, connectTimeoutMs: 60_000 });
  process.send({ ready: true });
  await once(process, 'message');
  process.send({ got: await client.getOrLoad('k', load, { ttlMs: 60_000, waitMs: 60_000 }) });
  process.disconnect();
  client.close();
}
