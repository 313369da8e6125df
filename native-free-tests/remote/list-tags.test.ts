import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { listTags, type RemoteWarning } from '#src/index.js';
import { temporaryDirectory } from '../helpers/memory-store.js';
import { refuse, serveOnLoopback } from '../helpers/quirky-registry.js';

const REGISTRY = { hostsDir: '', retries: 0 };
beforeEach(() => {
  REGISTRY.hostsDir = temporaryDirectory();
});

type Page = { readonly body: unknown; readonly link?: string };

/** A registry whose pages are found by the query. */
async function serve(
  page: (query: URLSearchParams, request: IncomingMessage, response: ServerResponse) => Page | undefined,
) {
  const asked: string[] = [];
  const host = await serveOnLoopback((request, response) => {
    asked.push(request.url ?? '');
    const found = page(new URL(request.url ?? '', 'http://x').searchParams, request, response);
    if (found === undefined) return;
    if (found.link !== undefined) response.setHeader('link', found.link);
    response.end(typeof found.body === 'string' ? found.body : JSON.stringify(found.body));
  });
  return { host, asked };
}

const PAGES: Readonly<Record<string, Page>> = {
  '': { body: { name: 'team/app', tags: ['v1', 'v10'] }, link: '</v2/team/app/tags/list?last=v10&n=2>; rel="next"' },
  v10: { body: { tags: ['v2', 'v1'] }, link: '</v2/team/app/tags/list?last=v2&n=2>; rel="next"' },
  v2: { body: { tags: ['latest'] } },
};
const paged = () => serve((query) => PAGES[query.get('last') ?? '']);

describe('the tags of a repository', () => {
  it('are those of all pages, each once, in the order of the registry', async () => {
    const { host, asked } = await paged();
    const found = await listTags(`docker://${host}/team/app`, { registry: REGISTRY });
    expect(found).toEqual({ repository: `${host}/team/app`, tags: ['v1', 'v10', 'v2', 'latest'] });
    expect(asked).toEqual(
      ['?n=1000', '?last=v10&n=2', '?last=v2&n=2'].map((query) => `/v2/team/app/tags/list${query}`),
    );
  });

  it.each([400, 404, 405, 500])(
    'are had from a registry that answers %i to who says how many a page is to have',
    async (status) => {
      const { host, asked } = await serve((query, _, response) => {
        if (query.has('n')) refuse(response, status);
        return query.has('n') ? undefined : { body: { tags: ['v1'] } };
      });
      expect((await listTags(`${host}/team/app`, { registry: REGISTRY })).tags).toEqual(['v1']);
      expect(asked).toEqual(['?n=1000', ''].map((query) => `/v2/team/app/tags/list${query}`));
    },
  );

  it('are asked for once more and not in another way where the registry is out of order for a moment', async () => {
    const { host, asked } = await serve((query, _, response) => void refuse(response, query.has('n') ? 503 : 200));
    await expect(listTags(`${host}/app`, { registry: REGISTRY })).rejects.toMatchObject({ details: { status: 503 } });
    expect(asked).toEqual(['/v2/app/tags/list?n=1000']);
  });

  it('are as many as are asked for, with no page more', async () => {
    const { host, asked } = await paged();
    expect((await listTags(`${host}/team/app`, { registry: REGISTRY, limit: 2 })).tags).toEqual(['v1', 'v10']);
    expect(asked).toEqual(['/v2/team/app/tags/list?n=2']);
    expect((await listTags(`${host}/team/app`, { registry: REGISTRY, limit: 3 })).tags).toEqual(['v1', 'v10', 'v2']);
    expect(asked).toHaveLength(3);
  });

  it.each([{ tags: null }, { tags: [] }, {}])('are none where the registry says %j', async (body) => {
    const { host } = await serve(() => ({ body }));
    expect((await listTags(`${host}/app`, { registry: REGISTRY })).tags).toEqual([]);
  });

  it.each([
    ['not JSON', 'x'],
    ['no object', []],
    ['no list', { tags: 'v1' }],
    ['no texts', { tags: ['v1', 2] }],
  ])('are an error where its answer is %s', async (_, body) => {
    const { host } = await serve(() => ({ body }));
    await expect(listTags(`${host}/app`, { registry: REGISTRY })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: expect.stringContaining(`${host} cannot give the repository ${host}/app: its answer is`),
    });
  });

  it('of a repository that there is not are an error that says so', async () => {
    const { host } = await serve((_, __, response) => refuse(response, 404, { code: 'NAME_UNKNOWN' }) as undefined);
    await expect(listTags(`${host}/nope`, { registry: REGISTRY })).rejects.toMatchObject({
      code: 'ERR_SOURCE_NOT_FOUND',
      message: `${host} has no repository ${host}/nope: status 404 (NAME_UNKNOWN)`,
    });
  });

  it.each([
    ['app:v1', 'it has a tag', 'write app;'],
    ['docker://r.example:5000/team/app:v1', 'it has a tag', 'write docker://r.example:5000/team/app;'],
    [`app@sha256:${'0'.repeat(64)}`, 'it has a digest', 'write app;'],
  ])('are not those of %s', async (text, problem, hint) => {
    await expect(listTags(text)).rejects.toMatchObject({
      code: 'ERR_BAD_REFERENCE',
      message: expect.stringContaining(problem),
      hint: expect.stringContaining(hint),
    });
  });

  it.each(['oci:/images/app', 'docker-archive:app.tar'])('are not looked for in %s', async (text) => {
    await expect(listTags(text)).rejects.toMatchObject({ code: 'ERR_SOURCE_UNSUPPORTED' });
  });
});

describe('pages', () => {
  it('are asked for where the first one was, whatever host a link names', async () => {
    const seen: (string | undefined)[] = [];
    const elsewhere = await serveOnLoopback(({ headers }, response) => {
      seen.push(headers.authorization);
      response.end('{"tags":["evil"]}');
    });
    const { host, asked } = await serve((query, { headers }, response) => {
      if (headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
        return undefined;
      }
      if (query.has('last')) return { body: { tags: ['b'] } };
      return { body: { tags: ['a'] }, link: `<http://${elsewhere}/v2/app/tags/list?last=a>; rel="next"` };
    });
    const credentials = { username: 'me', password: 'pw' };
    const { tags } = await listTags(`${host}/app`, { registry: { ...REGISTRY, credentials } });
    expect(tags).toEqual(['a', 'b']);
    expect(asked.at(-1)).toBe('/v2/app/tags/list?last=a');
    expect(seen).toEqual([]);
  });

  it('that go round in circles come to an end', async () => {
    const { host, asked } = await serve((query) => {
      const last = query.get('last') ?? 'a';
      return { body: { tags: [last] }, link: `<?last=${last === 'b' ? 'a' : 'b'}>; rel="next"` };
    });
    await expect(listTags(`${host}/app`, { registry: REGISTRY })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: expect.stringContaining('its pages come to no end'),
    });
    expect(asked).toHaveLength(3);
  });

  it('that bring nothing new for ever come to an end, and a few of them may', async () => {
    const { host, asked } = await serve((query) => {
      const page = Number(query.get('last') ?? 0);
      return { body: { tags: page === 50 ? ['late'] : [] }, link: `<?last=${page + 1}>; rel="next"` };
    });
    await expect(listTags(`${host}/app`, { registry: REGISTRY })).rejects.toThrow('its pages come to no end');
    expect(asked.length).toBeGreaterThan(100);
    expect(asked.length).toBeLessThan(200);
    expect((await listTags(`${host}/app`, { registry: REGISTRY, limit: 1 })).tags).toEqual(['late']);
  });

  it('are as large as a registry without pages makes them, and no larger', async () => {
    const tags = Array.from({ length: 200_000 }, (_, n) => `build-${n}-of-the-main-branch`);
    const { host } = await serve((query) => ({ body: { tags: query.get('n') === '1' ? [...tags, ...tags] : tags } }));
    const found = await listTags(`${host}/app`, { registry: REGISTRY });
    expect([found.tags.length, found.tags.at(-1)]).toEqual([tags.length, tags.at(-1)]);
    const limited = listTags(`${host}/app`, { registry: REGISTRY, limit: 1 });
    await expect(limited).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', details: { limit: 8 * 1024 * 1024 } });
  });

  it('that fail are asked for again, and those before them are not', async () => {
    let failed = false;
    const { host, asked } = await serve((query, _, response) => {
      const page = PAGES[query.get('last') ?? ''];
      if (!query.has('last') || failed) return page;
      failed = true;
      response.writeHead(503).end();
      return undefined;
    });
    const { tags } = await listTags(`${host}/team/app`, { registry: { ...REGISTRY, retries: 1 } });
    expect(tags).toEqual(['v1', 'v10', 'v2', 'latest']);
    expect(asked.filter((url) => url.includes('n=1000'))).toHaveLength(1);
  });
});

describe('mirrors', () => {
  /** @returns a directory of `hosts.toml` files */
  function hosts(registry: string, mirror: string, capabilities: string): string {
    const hostsDir = temporaryDirectory();
    mkdirSync(join(hostsDir, registry));
    writeFileSync(
      join(hostsDir, registry, 'hosts.toml'),
      `server = "http://${registry}"\n[host."http://${mirror}"]\n  capabilities = ${capabilities}\n`,
    );
    return hostsDir;
  }

  it('are asked first when they are trusted with tags, and told which registry is meant', async () => {
    const registry = await serve(() => ({ body: { tags: ['of-the-registry'] } }));
    const mirror = await serve(() => ({ body: { tags: ['of-the-mirror'] } }));
    const trusted = hosts(registry.host, mirror.host, '["pull", "resolve"]');
    expect((await listTags(`${registry.host}/app`, { registry: { hostsDir: trusted } })).tags).toEqual([
      'of-the-mirror',
    ]);
    expect(mirror.asked).toEqual([`/v2/app/tags/list?n=1000&ns=${encodeURIComponent(registry.host)}`]);
    const untrusted = hosts(registry.host, mirror.host, '["pull"]');
    const { tags } = await listTags(`${registry.host}/app`, { registry: { hostsDir: untrusted } });
    expect(tags).toEqual(['of-the-registry']);
  });

  it('that fail are passed over, with a warning', async () => {
    const registry = await serve(() => ({ body: { tags: ['v1'] } }));
    const mirror = await serve((_, __, response) => response.writeHead(500).end() as never);
    const warnings: RemoteWarning[] = [];
    const hostsDir = hosts(registry.host, mirror.host, '["pull", "resolve"]');
    const onWarning = (warning: RemoteWarning) => warnings.push(warning);
    expect((await listTags(`${registry.host}/app`, { registry: { hostsDir }, onWarning })).tags).toEqual(['v1']);
    expect(warnings).toMatchObject([{ code: 'HOST_PASSED_OVER', details: { host: mirror.host } }]);
  });
});

it('options that cannot be are told before anybody is asked', async () => {
  await expect(listTags('app', { limit: -1 })).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
  await expect(listTags('app', { registry: { certDir: '/nonexistent' } })).rejects.toMatchObject({
    code: 'ERR_REGISTRY_CONFIG',
  });
  await expect(listTags(1 as unknown as string)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
});
