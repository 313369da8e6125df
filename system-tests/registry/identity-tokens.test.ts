import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { startFaultProxy } from '../helpers/fault-proxy.js';
import { startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore } from '../helpers/test-store.js';
import { failedPull } from './pulling.js';
import { authFile, encoded, makeHelper, startTokenRegistry } from './who-we-are.js';

const IDENTITY = 'identity.of+a/test==';
const image = buildImage([buildLayer([{ path: 'a', content: 'a' }]), buildLayer([{ path: 'b', content: 'b' }])]);

/** What `docker login` leaves for a registry that gave it an identity token. */
const loggedIn = (host: string, identitytoken = IDENTITY) =>
  authFile({ auths: { [host]: { auth: encoded('00000000-0000-0000-0000-000000000000', ''), identitytoken } } });

describeWith(['root', 'docker-registry', 'openssl'], 'an identity token', () => {
  async function privateRegistry() {
    const { tokens, host } = await startTokenRegistry(image);
    tokens.anonymous = false;
    tokens.identities.add(IDENTITY);
    return { tokens, host };
  }

  it('is exchanged by POST for an access token, and shown to the token server alone', async () => {
    const { tokens, host } = await privateRegistry();
    const front = await startFaultProxy({ port: Number(host.split(':')[1]) });
    const p = await openStore({ registry: { authFile: loggedIn(front.host) } });
    expect((await p.images.pull(`${front.host}/team/app:v1`)).id).toBe(image.manifest.descriptor.digest);
    expect(tokens.seen.map(({ method, url }) => [method, url])).toEqual([['POST', '/token']]);
    expect(Object.fromEntries(tokens.seen[0]?.form ?? [])).toEqual({
      grant_type: 'refresh_token',
      client_id: 'provisioner',
      service: 'service',
      scope: 'repository:team/app:pull',
      refresh_token: IDENTITY,
    });
    expect(front.blobs()).toHaveLength(3);
    expect(JSON.stringify(front.seen)).not.toContain(IDENTITY);
  });

  it('comes from a credential helper as the password of <token>', async () => {
    const { tokens, host } = await privateRegistry();
    const bin = makeHelper('of-tests', host, { Username: '<token>', Secret: IDENTITY });
    const { run } = newStore();
    const env = { PATH: `${bin}:${process.env['PATH']}` };
    const file = authFile({ credHelpers: { [host]: 'of-tests' } });
    const pulled = await run(['pull', `${host}/team/app:v1`, '--authfile', file], { env });
    expect(pulled, pulled.stderr).toMatchObject({ status: 0 });
    expect(tokens.seen.map(({ method }) => method)).toEqual(['POST']);
  });

  it('that the server replaces is replaced for all that comes later in the process', async () => {
    const { tokens, host } = await privateRegistry();
    tokens.rotates = true;
    const p = await openStore({ registry: { authFile: loggedIn(host) } });
    for (const name of ['app', 'other']) await p.images.pull(`${host}/team/${name}:v1`);
    const [first, second] = tokens.seen.map(({ form }) => form.get('refresh_token'));
    expect(first).toBe(IDENTITY);
    expect(second).not.toBe(IDENTITY);
    // The file holds the one that is no good any more, and another process knows no other.
    const other = await openStore({ registry: { authFile: loggedIn(host) } });
    expect(await failedPull(other, other.images.pull(`${host}/team/app:v1`))).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
      hint: expect.stringContaining('log in again'),
    });
  });

  it('counts again when somebody has logged in anew and the one in its place is refused', async () => {
    const { tokens, host } = await privateRegistry();
    tokens.rotates = true;
    const p = await openStore({ registry: { authFile: loggedIn(host) } });
    await p.images.pull(`${host}/team/app:v1`);
    tokens.identities.clear();
    tokens.identities.add(IDENTITY);
    await p.images.pull(`${host}/team/other:v1`);
  });

  it.each([400, 401, 404])(
    'is shown by GET, as containerd does, to a server that answers %d to POST',
    async (status) => {
      const { tokens, host } = await privateRegistry();
      tokens.postStatus = status;
      tokens.users.set('', IDENTITY);
      const p = await openStore({ registry: { authFile: loggedIn(host) } });
      await p.images.pull(`${host}/team/app:v1`);
      expect(tokens.seen.map(({ method }) => method)).toEqual(['POST', 'GET']);
      expect(tokens.seen[1]?.authorization).toBe(`Basic ${encoded('', IDENTITY)}`);
      expect(tokens.seen[1]?.url).not.toContain('account');
    },
  );

  it.each([
    [405, 'asks for a name and a password'],
    [401, 'does not accept the credentials'],
    [404, 'does not accept the credentials'],
  ])(
    'refused by a server that answers %d to POST ends with what to do, and stands in no output',
    async (status, message) => {
      const { tokens, host } = await privateRegistry();
      tokens.postStatus = status;
      const { run } = newStore();
      const pull = ['pull', `${host}/team/app:v1`, '--authfile', loggedIn(host), '--debug', '--json'];
      const { status: exit, stderr } = await run(pull);
      expect(exit).toBe(1);
      expect(stderr).toContain(message);
      expect(stderr).toContain('log in');
      expect(stderr).not.toContain(IDENTITY);
      expect(stderr).not.toContain(encoded('', IDENTITY));
    },
  );

  it('that has been revoked is refused once, without trying again', async () => {
    const { tokens, host } = await privateRegistry();
    const p = await openStore({ registry: { authFile: loggedIn(host, 'revoked') } });
    expect(await failedPull(p, p.images.pull(`${host}/team/app:v1`))).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
      message: expect.stringContaining(tokens.host),
    });
    expect(tokens.seen.map(({ method }) => method)).toEqual(['POST', 'GET']);
  });

  it('is no use at a registry that wants a name and a password, and the error says so', async () => {
    const registry = await startRegistry({ user: { name: 'someone', password: 'secret' } });
    await registry.push('app', 'v1', image);
    const p = await openStore({ registry: { authFile: loggedIn(registry.host) } });
    expect(await failedPull(p, p.images.pull(`${registry.host}/app:v1`))).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
      message: expect.stringContaining('all that is known is an identity token'),
      hint: expect.stringContaining('log in with a name and a password'),
    });
  });
});
