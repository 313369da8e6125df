import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;
const NAMES = `127.0.0.1 localhost
::1 localhost
192.0.2.1 far.example
192.0.2.3 storage.example
127.0.0.1 near.example
`;

interface Outcome {
  /** `METHOD HOST URL AUTHORIZATION` of what the service on this machine or its link was asked. */
  readonly asked: readonly string[];
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/**
 * Pulls from `registry`, one after the other, in a network of their own, where 192.0.2.1 and 192.0.2.3 are elsewhere, and a service listens on all addresses of loopback and
 * on one of the link.
 * @param answers for each pull the body of a function of request and response: how registries and storages elsewhere answer. Others are answered `{}`
 */
async function pullFrom(registry: string, answers: readonly string[], options = ''): Promise<Outcome[]> {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'hosts'), NAMES);
  const code = `
    import http from 'node:http';
    import { once } from 'node:events';
    const { Provisioner } = await import('${LIBRARY}');
    let asked = [];
    let far = () => {};
    const near = (request, response) => {
      if (request.url.startsWith('/v2/')) return far(request, response);
      asked.push([request.method, request.headers.host, request.url, request.headers.authorization ?? ''].join(' '));
      response.end('{}');
    };
    for (const [address, listener] of [['192.0.2.1', (...both) => far(...both)], ['192.0.2.3', (...both) => far(...both)], ['127.0.0.1', near], ['::1', near], ['169.254.169.254', near]])
      await once(http.createServer(listener).listen(8080, address), 'listening');
    const p = await Provisioner.open({ root: '${directory}/store', records: 'memory', backend: 'copy',
      registry: { hostsDir: '${directory}', tlsVerify: false, retries: 0, credentials: { username: 'me', password: 'pw' } ${options} } });
    const outcomes = [];
    for (const [index, answer] of ${JSON.stringify(answers)}.entries()) {
      asked = [];
      far = new Function('request', 'response', answer);
      const error = await p.images.pull('${registry}/app' + index).then(() => ({}), (reason) => reason);
      outcomes.push({ asked, code: error.code, message: error.message, hint: error.hint });
    }
    console.log(JSON.stringify(outcomes));
    process.exit(0);`;
  const setUp = `mount --bind ${directory}/hosts /etc/hosts && ip link set lo up && ip address add 192.0.2.1/32 dev lo &&
    ip address add 192.0.2.3/32 dev lo && ip address add 169.254.169.254/32 dev lo && exec "$@"`;
  const node = [process.execPath, '--input-type=module', '-e', code];
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  const run = promisify(execFile);
  const { stdout } = await run('unshare', ['--net', '--mount', 'sh', '-c', setUp, 'sh', ...node], { env });
  return JSON.parse(stdout);
}

const redirect = (to: string) => `response.writeHead(302, { location: '${to}' }).end();`;
const tokensAt = (realm: string) =>
  `response.writeHead(401, { 'www-authenticate': 'Bearer realm="${realm}",service="s"' }).end();`;

/** One answer of the host `storage.example`, and one of all others. */
const storage = (there: string, here: string) =>
  `if (request.headers.host.startsWith('storage')) { ${there} } else { ${here} }`;

describeWith(['root', 'network'], 'a registry elsewhere', () => {
  it('sends nobody to this machine or its link, neither by a redirect nor for a token, however the place is written', async () => {
    const targets = [
      'http://127.0.0.1:8080/internal',
      'http://127.1:8080/internal',
      'http://0.0.0.0:8080/internal',
      'http://localhost:8080/internal',
      'http://a.localhost:8080/internal',
      'http://[::1]:8080/internal',
      'http://[::ffff:127.0.0.1]:8080/internal',
      'http://near.example:8080/internal',
      'http://169.254.169.254:8080/latest/meta-data/',
    ];
    const cases = targets.flatMap((target) => [redirect, tokensAt].map((way) => ({ target, answer: way(target) })));
    const outcomes = await pullFrom(
      'far.example:8080',
      cases.map(({ answer }) => answer),
    );
    for (const [index, { target }] of cases.entries()) {
      const { asked, code, message, hint } = outcomes[index] as Outcome;
      expect({ target, asked, code }).toEqual({ target, asked: [], code: 'ERR_REGISTRY_FAILED' });
      expect(message).toMatch(/^far\.example:8080 cannot give .*: it sends us to /);
      expect(message).toContain(new URL(target).host);
      expect(hint).toContain('hosts.toml');
    }
  });

  it('does not do so by way of another host either', async () => {
    const near = redirect('http://near.example:8080/internal');
    const [outcome] = await pullFrom('far.example:8080', [storage(near, redirect('http://storage.example:8080/'))]);
    expect(outcome).toMatchObject({ asked: [], code: 'ERR_REGISTRY_FAILED' });
  });

  it('does not do so by way of its token server, nor from the root of its API', async () => {
    const near = redirect('http://near.example:8080/internal');
    const root = `if (request.url === '/v2/') { ${near} } else { response.writeHead(404).end(); }`;
    const [byTokens, byRoot] = await pullFrom('far.example:8080', [
      storage(near, tokensAt('http://storage.example:8080/token')),
      root,
    ]);
    expect(byTokens).toMatchObject({ asked: [], code: 'ERR_REGISTRY_FAILED' });
    expect(byTokens?.message).toContain('it sends us to near.example:8080');
    expect(byRoot).toMatchObject({ asked: [], code: 'ERR_SOURCE_NOT_FOUND' });
  });
});

describeWith(['root', 'network'], 'a registry elsewhere that says of layers that they lie elsewhere', () => {
  const layer = buildLayer([{ path: 'a', content: 'a' }], { compression: 'none' });
  const answer = (...urls: string[]) => {
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
    const layers = [{ mediaType, digest: layer.digest, size: layer.blob.length, urls }];
    const { manifest, config } = buildImage([layer], { manifestFields: { layers } });
    const send = (bytes: Uint8Array, type = 'application/octet-stream') =>
      `response.writeHead(200, { 'content-type': '${type}' }).end(Buffer.from('${Buffer.from(bytes).toString('base64')}', 'base64'));`;
    return `if (request.url.includes('/manifests/')) { ${send(manifest.bytes, manifest.descriptor.mediaType)} }
      else if (request.url.endsWith('${config.descriptor.digest}')) { ${send(config.bytes)} }
      else if (request.url === '/there') { ${send(layer.blob)} }
      else { response.writeHead(404).end(); }`;
  };

  it('has them fetched from there, and nobody on this machine or its link asked', async () => {
    const near = [
      'http://127.0.0.1:8080/x',
      'http://near.example:8080/x',
      'http://169.254.169.254:8080/x',
      'http://0.0.0.0:8080/x',
    ];
    // A layer that is stored is not asked for.
    const there = ['http://near.example:8080/x', 'http://storage.example:8080/there'];
    const outcomes = await pullFrom('far.example:8080', [...near.map((url) => answer(url)), answer(...there)]);
    for (const outcome of outcomes.slice(0, -1)) {
      expect(outcome).toMatchObject({ asked: [], code: 'ERR_REGISTRY_FAILED' });
      expect(outcome.message).toContain('it sends us to ');
    }
    expect(outcomes.at(-1)).toEqual({ asked: [] });
  });
});

describeWith(['root', 'network'], 'a service on this machine', () => {
  it.each([
    ['by its address', '127.0.0.1:8080'],
    ['by localhost', 'localhost:8080'],
    ['by a name of its own', 'near.example:8080'],
  ])('is asked when a registry that is on this machine too, %s, sends us there', async (_, registry) => {
    const [moved, token] = await pullFrom(registry, [
      redirect('http://localhost:8080/blobs'),
      tokensAt('http://localhost:8080/token'),
    ]);
    expect(moved?.asked).toContain('HEAD localhost:8080 /blobs ');
    expect(token?.asked).toEqual([
      expect.stringMatching(/^GET localhost:8080 \/token\?.*scope=repository.* Basic bWU6cHc=$/),
    ]);
  });

  it('is told nothing by a challenge of a host to which a registry has sent us on', async () => {
    const challenge = tokensAt('http://near.example:8080/token');
    const [outcome] = await pullFrom('near.example:8080', [
      storage(challenge, redirect('http://storage.example:8080/v2/')),
    ]);
    expect(outcome).toMatchObject({ asked: [], code: 'ERR_REGISTRY_UNAUTHORIZED' });
  });

  it('is asked when the user has named it for the registry that sends us there, and no other one is', async () => {
    const hosts = temporaryDirectory();
    const own = join(hosts, 'far.example:8080');
    mkdirSync(own);
    writeFileSync(join(own, 'hosts.toml'), '[host."http://near.example:8080"]\ncapabilities = []\n');
    const [named, other] = await pullFrom(
      'far.example:8080',
      [redirect('http://near.example:8080/blobs'), redirect('http://localhost:8080/blobs')],
      `, hostsDir: '${hosts}'`,
    );
    expect(named?.asked).toContain('HEAD near.example:8080 /blobs ');
    expect(other).toMatchObject({ asked: [], code: 'ERR_REGISTRY_FAILED' });
  });
});
