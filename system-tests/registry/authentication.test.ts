import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { makeCertificate } from '../helpers/certificates.js';
import { startFaultProxy } from '../helpers/fault-proxy.js';
import { startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore } from '../helpers/test-store.js';
import { failedPull } from './pulling.js';
import { authFile, encoded, makeHelper, startTokenRegistry } from './who-we-are.js';

const USER = { name: 'someone', password: 'pass:word-öf-tests' };
const image = buildImage([buildLayer([{ path: 'a', content: 'a' }]), buildLayer([{ path: 'b', content: 'b' }])]);

describeWith(['root', 'docker-registry'], 'a registry with passwords', () => {
  async function privateRegistry() {
    const registry = await startRegistry({ user: USER });
    await registry.push('team/app', 'v1', image);
    return { registry, source: `${registry.host}/team/app:v1` };
  }

  it('lets in who gives the right one, by whichever way', async () => {
    const { registry, source } = await privateRegistry();
    const { host } = registry;
    const credentials = { username: USER.name, password: USER.password };
    const p = await openStore();
    for (const options of [
      { credentials },
      { authFile: authFile({ auths: { [host]: { auth: encoded(USER.name, USER.password) } } }) },
      {
        authFile: authFile({
          auths: { [`${host}/team`]: { auth: encoded(USER.name, USER.password) }, [host]: { auth: encoded('x', 'y') } },
        }),
      },
    ]) {
      expect((await p.images.pull(source, { registry: options })).id).toBe(image.manifest.descriptor.digest);
    }
  });

  it('refuses a wrong one with what to do, and nothing of it in any output', async () => {
    const { source } = await privateRegistry();
    const { run } = newStore();
    for (const args of [['--debug'], ['--json', '--debug']]) {
      const { status, stderr } = await run(['pull', source, '--creds', 'someone:wr0ng-secret', ...args]);
      expect(status).toBe(1);
      expect(stderr).toContain('does not accept the credentials');
      for (const secret of ['wr0ng-secret', encoded('someone', 'wr0ng-secret')]) expect(stderr).not.toContain(secret);
    }
    const p = await openStore();
    const error = await failedPull(
      p,
      p.images.pull(source, { registry: { credentials: { username: 'a', password: 'b' } } }),
    );
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED', hint: expect.stringContaining('log in') });
    await p.images.pull(source, { registry: { credentials: { username: USER.name, password: USER.password } } });
  });

  it('lets in who heals a layer, and says who he is', async () => {
    const { source } = await privateRegistry();
    const { run, root } = newStore();
    const creds = ['--creds', `${USER.name}:${USER.password}`];
    expect((await run(['pull', source, ...creds])).status).toBe(0);
    const [layer = ''] = readdirSync(join(root, 'layers'));
    rmSync(join(root, 'layers', layer), { recursive: true });
    const refused = await run(['check', '--repair']);
    expect([refused.status, refused.stdout.includes('not repaired')]).toEqual([1, true]);
    const healed = await run(['check', '--repair', ...creds]);
    expect([healed.status, healed.stdout.includes('all healed')]).toEqual([0, true]);
  });

  it('asks who we are when nobody said', async () => {
    const { source } = await privateRegistry();
    const p = await openStore();
    const error = await failedPull(p, p.images.pull(source));
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED', hint: expect.stringContaining('--authfile') });
  });

  it('takes them from a credential helper, by its protocol', async () => {
    const { registry, source } = await privateRegistry();
    const bin = makeHelper('of-tests', registry.host, { Username: USER.name, Secret: USER.password });
    const path = process.env['PATH'];
    process.env['PATH'] = `${bin}:${path}`;
    try {
      const p = await openStore();
      const helped = [
        { credHelpers: { [registry.host]: 'of-tests' } },
        { credsStore: 'of-tests', auths: { [registry.host]: {} } },
      ];
      for (const file of helped) await p.images.pull(source, { registry: { authFile: authFile(file) } });
      await expect(
        p.images.pull(source, { registry: { authFile: authFile({ credsStore: 'not-there' }) } }),
      ).rejects.toMatchObject({
        code: 'ERR_REGISTRY_CONFIG',
        message: expect.stringContaining('docker-credential-not-there'),
      });
    } finally {
      process.env['PATH'] = path;
    }
  });

  it('never sees its password sent to the host that it redirects to', async () => {
    const { registry, source } = await privateRegistry();
    const [front, storage] = [await startFaultProxy(registry), await startFaultProxy(registry)];
    front.fault = ({ url }) =>
      url.includes('/blobs/')
        ? {
            kind: 'answer',
            status: 307,
            headers: { location: `http://${storage.host.replace('localhost', '127.0.0.1')}${url}` },
          }
        : undefined;
    // The storage wants the password as well, so a pull that fails there shows that it got none.
    const p = await openStore();
    const credentials = { username: USER.name, password: USER.password };
    const pull = p.images.pull(source.replace(registry.host, front.host), { registry: { credentials, retries: 0 } });
    await expect(pull).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' });
    expect(front.seen.filter(({ headers }) => headers.authorization !== undefined).length).toBeGreaterThan(0);
    expect(storage.seen.length).toBeGreaterThan(0);
    expect(storage.seen.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });
});

describeWith(['root', 'docker-registry'], 'a registry that redirects', () => {
  it('is followed to where the blobs are', async () => {
    const registry = await startRegistry();
    await registry.push('app', 'v1', image);
    const [front, storage] = [await startFaultProxy(registry), await startFaultProxy(registry)];
    front.fault = ({ url }) =>
      url.includes('/blobs/')
        ? { kind: 'answer', status: 307, headers: { location: `http://${storage.host}${url}?signed=secret` } }
        : undefined;
    const p = await openStore();
    await p.images.pull(`${front.host}/app:v1`);
    expect(storage.blobs()).toHaveLength(3);
  });
});

describeWith(['root', 'docker-registry', 'openssl'], 'a registry with tokens', () => {
  const tokenRegistry = () => startTokenRegistry(image);

  it('gives one to whoever comes, once for all requests of a pull', async () => {
    const { tokens, host } = await tokenRegistry();
    const p = await openStore();
    await p.images.pull(`${host}/team/app:v1`);
    expect(tokens.seen).toHaveLength(1);
    expect(decodeURIComponent(tokens.seen[0]?.url ?? '')).toContain('scope=repository:team/app:pull');
    expect(tokens.seen[0]?.authorization).toBeUndefined();
    await p.images.pull(`${host}/team/app:v1`);
    expect(tokens.seen).toHaveLength(1);
  });

  it('gives one for a password, and the password goes to the token server alone', async () => {
    const { tokens, host } = await tokenRegistry();
    tokens.anonymous = false;
    tokens.users.set('someone', 'secret');
    const proxy = await startFaultProxy({ port: Number(host.split(':')[1]) });
    const p = await openStore();
    const source = `${proxy.host}/team/app:v1`;
    expect(await failedPull(p, p.images.pull(source))).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' });
    const wrong = { credentials: { username: 'someone', password: 'wrong' } };
    expect(await failedPull(p, p.images.pull(source, { registry: wrong }))).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
      message: expect.stringContaining(tokens.host),
    });
    await p.images.pull(source, { registry: { credentials: { username: 'someone', password: 'secret' } } });
    const sent = proxy.seen.map(({ headers }) => headers.authorization?.split(' ')[0]);
    expect(new Set(sent)).toEqual(new Set([undefined, 'Bearer']));
  });

  it('is asked for a new one when the one it gave has expired, before or without its saying so', async () => {
    const { tokens, host } = await tokenRegistry();
    const p = await openStore();
    // The registry allows for clocks that differ by a minute.
    tokens.lifetime = { real: -120, stated: 3600 };
    const giveGood = setInterval(() => {
      if (tokens.seen.length > 0) tokens.lifetime = { real: 300, stated: 300 };
    }, 1);
    try {
      await p.images.pull(`${host}/team/app:v1`);
      expect(tokens.seen).toHaveLength(2);
    } finally {
      clearInterval(giveGood);
    }
    tokens.lifetime = { real: 300, stated: 0.001 };
    const other = await openStore();
    await other.images.pull(`${host}/team/app:v1`);
    expect(tokens.seen.length).toBeGreaterThan(5);
  });

  it('fails when none of them is any good', async () => {
    const { tokens, host } = await tokenRegistry();
    tokens.lifetime = { real: -120, stated: 3600 };
    const p = await openStore();
    expect(await failedPull(p, p.images.pull(`${host}/team/app:v1`))).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
    });
  });
});

describeWith(['root', 'docker-registry', 'openssl'], 'a registry with TLS', () => {
  it('is not trusted when an unknown authority signed its certificate, and is with --cert-dir', async () => {
    const tls = makeCertificate();
    const registry = await startRegistry({ tls, user: USER });
    await registry.push('app', 'v1', image);
    const { run } = newStore();
    const pull = ['pull', `${registry.host}/app:v1`, '--creds', `${USER.name}:${USER.password}`];
    const refused = await run([...pull, '--json']);
    expect(JSON.parse(refused.stderr)).toMatchObject({
      error: {
        code: 'ERR_REGISTRY_TLS',
        message: expect.stringContaining('unknown authority'),
        hint: expect.stringContaining('--cert-dir'),
      },
    });
    expect((await run([...pull, '--cert-dir', tls.authority])).status).toBe(0);
    expect((await newStore().run([...pull, '--tls-verify=false'])).status).toBe(0);
  });
});
