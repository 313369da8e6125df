import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Provisioner, RegistryOptions } from '#src/index.js';
import { atOnce } from '../../native-free-tests/helpers/at-once.js';
import { type FaultProxy, startFaultProxy } from '../helpers/fault-proxy.js';
import { startRegistry, type TestRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore } from '../helpers/test-store.js';
import { expectNothingLeft, failedPull, largeImage } from './pulling.js';

const MIB = 1024 * 1024;
const { image, layer, content } = largeImage(8 * MIB);
const QUICK: RegistryOptions = { stallTimeout: 1000, retries: 2 };

interface Bench {
  readonly p: Provisioner;
  readonly registry: TestRegistry;
  readonly proxy: FaultProxy;
  readonly source: string;
  /** The layer was asked for, from these bytes on. */
  starts(): number[];
  /** Pulls without faults, and looks at what came out. */
  pullsWell(): Promise<void>;
}

async function bench(): Promise<Bench> {
  const registry = await startRegistry();
  await registry.push('app', 'v1', image);
  const proxy = await startFaultProxy(registry);
  const p = await openStore({ registry: QUICK });
  const source = `${proxy.host}/app:v1`;
  return {
    p,
    registry,
    proxy,
    source,
    starts: () =>
      proxy.seen.filter(isLayer).map(({ headers }) => Number(/^bytes=(\d+)-$/.exec(headers.range ?? 'bytes=0-')?.[1])),
    pullsWell: async () => {
      proxy.fault = () => undefined;
      await p.images.pull(source);
      const { rootfs } = await p.provision('job', source, { pullPolicy: 'never' });
      expect(readFileSync(join(rootfs, 'large')).equals(content)).toBe(true);
      await p.destroy('job');
    },
  };
}

function isLayer({ url }: { readonly url: string }): boolean {
  return url.endsWith(layer.digest);
}

describeWith(['root', 'overlay', 'docker-registry'], 'a pull from a registry that fails', () => {
  it('goes on where it was when the connection is cut, at random bytes, 20 times in one layer', async () => {
    const { proxy, starts, pullsWell, p, source } = await bench();
    let cuts = 0;
    proxy.fault = (request) =>
      isLayer(request) && cuts++ < 20
        ? { kind: 'cut', after: randomInt(1, Math.floor(layer.blob.length / 25)) }
        : undefined;
    await p.images.pull(source);
    expect(starts()).toHaveLength(21);
    // Each connection begins with the byte that the one before it did not bring: nothing is fetched twice.
    expect(starts()).toEqual([...starts()].sort((a, b) => a - b));
    expect(new Set(starts()).size).toBe(21);
    await pullsWell();
  });

  it('notices a server that stalls in the middle, and goes on with another connection', async () => {
    const { proxy, starts, p, source } = await bench();
    proxy.fault = (request) =>
      isLayer(request) && request.headers.range === undefined ? { kind: 'stall', after: 3 * MIB } : undefined;
    await p.images.pull(source);
    expect(starts()).toEqual([0, 3 * MIB]);
  });

  // Between two tries each of these waits, and may take as long as it likes.
  it('is asked again, with pauses, and given up in the end', async () => {
    await atOnce({
      'gives up on a server that always stalls, and leaves nothing': async () => {
        const { proxy, p, source, pullsWell } = await bench();
        proxy.fault = (request) => (isLayer(request) ? { kind: 'stall', after: 0 } : undefined);
        const error = await failedPull(p, p.images.pull(source, { registry: { stallTimeout: 300 } }));
        expect(error).toMatchObject({
          code: 'ERR_REGISTRY_UNREACHABLE',
          message: expect.stringContaining(layer.digest),
        });
        await pullsWell();
      },

      'waits as long as a 429 says, and then goes on': async () => {
        const { proxy, p, source } = await bench();
        let refused = false;
        proxy.fault = (request) => {
          if (!isLayer(request) || refused) return undefined;
          refused = true;
          return { kind: 'answer', status: 429, headers: { 'retry-after': '1' } };
        };
        const started = performance.now();
        await p.images.pull(source);
        expect(performance.now() - started).toBeGreaterThan(1000);
      },

      'tries again after errors of the server, for manifests and for layers': async () => {
        const { proxy, p, source } = await bench();
        const failedOnce = new Set<string>();
        proxy.fault = ({ method, url }) => {
          if (failedOnce.has(method + url)) return undefined;
          failedOnce.add(method + url);
          return { kind: 'answer', status: 500 };
        };
        await p.images.pull(source);
        // A HEAD and the GET in its place, the manifest, the config and the layer.
        expect(failedOnce.size).toBe(5);
      },

      'fails when the server does nothing but err, and leaves nothing': async () => {
        const { proxy, p, source, pullsWell } = await bench();
        proxy.fault = (request) =>
          isLayer(request) ? { kind: 'answer', status: 503, body: '{"errors":[{"code":"UNAVAILABLE"}]}' } : undefined;
        const error = await failedPull(p, p.images.pull(source));
        expect(error).toMatchObject({ code: 'ERR_REGISTRY_FAILED', details: { status: 503, answer: 'UNAVAILABLE' } });
        expect(proxy.seen.filter(isLayer)).toHaveLength(3);
        await pullsWell();
      },

      'fails when the body is always truncated, with the sizes': async () => {
        const { proxy, p, source, pullsWell } = await bench();
        proxy.fault = (request) => {
          if (!isLayer(request)) return undefined;
          return { kind: 'end', after: request.headers.range === undefined ? MIB : 0 };
        };
        const error = await failedPull(p, p.images.pull(source));
        expect(error).toMatchObject({
          code: 'ERR_SIZE_MISMATCH',
          details: { expected: layer.blob.length, found: String(MIB) },
        });
        await pullsWell();
      },
    });
  });

  it('fails with what a 429 says when that is longer than anybody would wait', async () => {
    const { proxy, p, source, pullsWell } = await bench();
    proxy.fault = () => ({ kind: 'answer', status: 429, headers: { 'retry-after': '3600' } });
    const error = await failedPull(p, p.images.pull(source));
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_BUSY', details: { retryAfter: 3600 } });
    await pullsWell();
  });

  it('goes on after a body that ended too early as if it were whole', async () => {
    const { proxy, starts, p, source } = await bench();
    proxy.fault = (request) =>
      isLayer(request) && request.headers.range === undefined ? { kind: 'end', after: MIB } : undefined;
    await p.images.pull(source);
    expect(starts()).toEqual([0, MIB]);
  });

  it.each([1000, -1000])('refuses a Content-Length that is %i bytes off before it reads a byte', async (add) => {
    const { proxy, p, source, pullsWell } = await bench();
    proxy.fault = (request) => (isLayer(request) ? { kind: 'length', add } : undefined);
    const error = await failedPull(p, p.images.pull(source));
    expect(error).toMatchObject({
      code: 'ERR_SIZE_MISMATCH',
      details: { expected: layer.blob.length, found: String(layer.blob.length + add) },
    });
    expect(proxy.seen.filter(isLayer)).toHaveLength(1);
    await pullsWell();
  });

  it('reads a layer once more from a server that cannot begin in the middle, without unpacking anew', async () => {
    const { proxy, p, source, pullsWell } = await bench();
    let first = true;
    proxy.fault = (request) => {
      if (!isLayer(request)) return undefined;
      if (!first) return { kind: 'no-range' };
      first = false;
      return { kind: 'no-range', cutAfter: 5 * MIB };
    };
    await p.images.pull(source);
    expect(proxy.seen.filter(isLayer).map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${5 * MIB}-`]);
    await pullsWell();
  });

  it('fails when such a server breaks off a second time', async () => {
    const { proxy, p, source, pullsWell } = await bench();
    let connections = 0;
    proxy.fault = (request) => (isLayer(request) ? { kind: 'no-range', cutAfter: ++connections * 2 * MIB } : undefined);
    const error = await failedPull(p, p.images.pull(source));
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_FAILED', message: expect.stringContaining('in the middle') });
    expect(connections).toBe(3);
    await pullsWell();
  });

  it('finds out a wrong byte anywhere, says what was expected and found, and leaves nothing', async () => {
    const { proxy, p, source, pullsWell } = await bench();
    for (const at of [0, 5, layer.blob.length / 2, layer.blob.length - 1].map(Math.floor)) {
      proxy.fault = (request) => (isLayer(request) ? { kind: 'flip', at } : undefined);
      const error = await failedPull(p, p.images.pull(source));
      expect(error, `byte ${at}`).toMatchObject({
        code: 'ERR_DIGEST_MISMATCH',
        details: { expected: layer.digest, found: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
      });
    }
    proxy.fault = ({ url }) => (url.endsWith(image.config.descriptor.digest) ? { kind: 'flip', at: 3 } : undefined);
    expect(await failedPull(p, p.images.pull(source))).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      details: { expected: image.config.descriptor.digest },
    });
    await pullsWell();
  });

  it('is over at once when it is cancelled in the middle, with its connections closed and nothing left', async () => {
    const { proxy, p, source, pullsWell } = await bench();
    proxy.fault = (request) => (isLayer(request) ? { kind: 'stall', after: 2 * MIB } : undefined);
    const cancel = new AbortController();
    const pull = p.images.pull(source, { signal: cancel.signal, registry: { stallTimeout: 60_000 } });
    await expect.poll(() => proxy.seen.filter(isLayer).length).toBe(1);
    await sleep(200);
    const started = performance.now();
    cancel.abort();
    await expect(pull).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(performance.now() - started).toBeLessThan(1000);
    await expectNothingLeft(p);
    await expect.poll(() => proxy.seen.filter(isLayer).length).toBe(1);
    await expect.poll(() => proxy.connections(), { timeout: 8000 }).toBe(0);
    await pullsWell();
  });

  it('waits for a registry that is started anew in the middle of a layer', async () => {
    const { proxy, registry, p, source } = await bench();
    let broken = false;
    proxy.fault = (request) => {
      if (!isLayer(request) || broken) return undefined;
      broken = true;
      void registry
        .stop()
        .then(() => sleep(500))
        .then(() => registry.start());
      return { kind: 'cut', after: 2 * MIB };
    };
    await p.images.pull(source, { registry: { retries: 10 } });
  });
});
