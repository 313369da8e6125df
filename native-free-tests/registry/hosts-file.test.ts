import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { chooseEndpoints } from '#src/registry/choose-endpoints.js';
import { CredentialLookup } from '#src/registry/credentials/credentials.js';
import { parseHostsFile } from '#src/registry/hosts-file.js';
import type { RegistryOptions } from '#src/registry/registry-options.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const parse = (text: string) => parseHostsFile(text, '/certs.d/r.example');

it('every field of containerd that speaks of pulling is understood', () => {
  const { mirrors, registry } = parse(`
    server = "https://r.example"
    ca = "server.crt"
    dial_timeout = "1m2.5s"

    [host."https://b.example:8443/proxy"]
      capabilities = ["pull"]
      ca = ["/abs/a.crt", "b.crt"]
      client = [["c.cert", "c.key"], ["d.pem", ""]]
      skip_verify = true
      proxy = "http://proxy:3128"
      [host."https://b.example:8443/proxy".header]
        x-one = "1"
        x-two = ["2", "3"]

    [host."http://a.example/root"]
      override_path = true
      client = "both.pem"
  `);
  expect(mirrors).toEqual([
    {
      host: 'b.example:8443',
      scheme: 'https',
      path: '/proxy/v2',
      pulls: true,
      resolves: false,
      verify: false,
      caFiles: ['/abs/a.crt', '/certs.d/r.example/b.crt'],
      clientFiles: { cert: '/certs.d/r.example/c.cert', key: '/certs.d/r.example/c.key' },
      headers: { 'x-one': ['1'], 'x-two': ['2', '3'] },
      connectTimeout: undefined,
      proxy: 'http://proxy:3128',
    },
    expect.objectContaining({
      host: 'a.example',
      scheme: 'http',
      path: '/root',
      pulls: true,
      resolves: true,
      clientFiles: { cert: '/certs.d/r.example/both.pem' },
    }),
  ]);
  expect(registry).toMatchObject({
    server: { host: 'r.example', scheme: 'https', path: '/v2' },
    caFiles: ['/certs.d/r.example/server.crt'],
    connectTimeout: 62_500,
  });
});

it.each([
  ['r.example', '/v2'],
  ['https://r.example/', '/v2'],
  ['https://r.example/v2', '/v2'],
  ['https://r.example/v2/', '/v2'],
  ['https://r.example/v2/project', '/v2/project/v2'],
])('the server %s answers below %s', (server, path) => {
  expect(parse(`server = "${server}"`).registry.server?.path).toBe(path);
});

it.each([
  'server = [',
  'ca = 1',
  'dial_timeout = "soon"',
  'client = [["a"]]',
  '[host."ftp://x"]',
  'server = "https://a:b@c"',
])('the file %s is an error that names it', (text) => {
  expect(() => parse(text)).toThrow(
    expect.objectContaining({
      code: 'ERR_REGISTRY_CONFIG',
      message: expect.stringContaining('/certs.d/r.example/hosts.toml'),
    }),
  );
});

const endpoints = (registry: string, options: RegistryOptions = {}) =>
  chooseEndpoints(
    registry,
    'app',
    { hostsDir: temporaryDirectory(), ...options },
    new CredentialLookup(undefined, { HOME: '/nonexistent' }, undefined),
  );

it.each([
  ['docker.io', 'registry-1.docker.io', 'https'],
  ['r.example', 'r.example', 'https'],
  ['localhost:5000', 'localhost:5000', 'either'],
  ['127.0.0.5', '127.0.0.5', 'either'],
  ['[::1]:5000', '[::1]:5000', 'either'],
  ['localhost.example', 'localhost.example', 'https'],
])('without a file, %s is asked at %s over %s', async (registry, host, scheme) => {
  expect(await endpoints(registry)).toEqual([
    expect.objectContaining({ host, scheme, path: '/v2', pulls: true, resolves: true }),
  ]);
});

it('plain HTTP elsewhere is tried only when told', async () => {
  const [endpoint] = await endpoints('r.example', { tlsVerify: false });
  expect(endpoint).toMatchObject({ scheme: 'either', tls: { verify: false } });
});

it('the directory of a registry may be written without a colon, and another one stands for all without one', async () => {
  const hostsDir = temporaryDirectory();
  const write = (name: string, mirror: string) => {
    mkdirSync(join(hostsDir, name));
    writeFileSync(join(hostsDir, name, 'hosts.toml'), `[host."https://${mirror}"]`);
  };
  const first = async (registry: string) => (await endpoints(registry, { hostsDir }))[0]?.host;
  write('_default', 'all');
  write('r.example:1', 'colon');
  expect(await first('r.example:1')).toBe('colon');
  write('r.example_1_', 'underscores');
  expect(await first('r.example:1')).toBe('underscores');
  expect(await first('r.example')).toBe('all');
});

it('a directory of them that was named is there, and one that is there need not have any', async () => {
  const hostsDir = join(temporaryDirectory(), 'certs.d');
  const missing = { code: 'ERR_REGISTRY_CONFIG', hint: 'check --hosts-dir', details: { path: hostsDir } };
  await expect(endpoints('r.example', { hostsDir })).rejects.toMatchObject(missing);
  writeFileSync(hostsDir, '');
  await expect(endpoints('r.example', { hostsDir })).rejects.toMatchObject(missing);
  expect(await endpoints('r.example', { hostsDir: temporaryDirectory() })).toHaveLength(1);
  expect(await endpoints('r.example', { hostsDir: undefined })).not.toEqual([]);
});

it('credentials given for the registry are not for its mirrors', async () => {
  const hostsDir = temporaryDirectory();
  mkdirSync(join(hostsDir, 'r.example'));
  writeFileSync(join(hostsDir, 'r.example', 'hosts.toml'), '[host."https://mirror.example"]');
  const found = await endpoints('r.example', { hostsDir, credentials: { username: 'me', password: 'secret' } });
  expect(found.map(({ host, namespace, credentials }) => [host, namespace, credentials?.kind])).toEqual([
    ['mirror.example', 'r.example', undefined],
    ['r.example', undefined, 'password'],
  ]);
});

it('a file that is no TOML is told by the place, and never by what stands there', () => {
  const text = `[host."http://a.example".header]\n  authorization = ["Basic SECRET" x]\n`;
  const error = (() => {
    try {
      parse(text);
    } catch (thrown) {
      return thrown as Error;
    }
    throw new Error('it was taken');
  })();
  expect(error).toMatchObject({ code: 'ERR_REGISTRY_CONFIG', message: expect.stringMatching(/not TOML, see line 2/) });
  expect(inspect(error, { depth: 10 })).not.toContain('SECRET');
});
