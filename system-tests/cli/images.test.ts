import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { formatPlatform, machinePlatform } from '#src/image/platform.js';
import {
  buildImage,
  buildIndex,
  buildLayer,
  writeDockerArchive,
  writeOciArchive,
  writeOciLayout,
} from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { APP_V1, APP_V2, madeStore, newStore, pulledStore } from './run-cli.js';

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const V1 = 'docker.io/library/app:v1';
const V2 = 'docker.io/library/app:v2';

const NOT_A_LAYOUT = fileURLToPath(new URL('.', import.meta.url));

const small = buildImage([buildLayer([{ path: 'hello', content: 'hello\n' }])]);
const smallId = small.manifest.descriptor.digest;

/** What every image document has, whatever the image. */
const imageShape = {
  id: expect.stringMatching(DIGEST),
  platform: expect.any(String),
  layers: expect.arrayContaining([expect.stringMatching(DIGEST)]),
  bytes: expect.any(Number),
  source: expect.any(String),
  pinned: false,
  pulled: expect.stringMatching(TIME),
  lastUsed: expect.stringMatching(TIME),
};

describeWith(['root'], 'provisioner pull', () => {
  it('prints nothing but the digest of each image on stdout, in the order of the sources', async () => {
    const { run, json } = newStore();
    const { status, stdout } = await run(['pull', APP_V2, APP_V1]);
    expect(status).toBe(0);
    const ids = stdout.trimEnd().split('\n');
    expect(ids).toEqual([expect.stringMatching(DIGEST), expect.stringMatching(DIGEST)]);
    const images = (await json('images')) as { id: string; names: string[] }[];
    expect(new Map(images.map(({ id, names }) => [id, names]))).toEqual(
      new Map([
        [ids[0], [V2]],
        [ids[1], [V1]],
      ]),
    );
  });

  it('tells on stderr when a layer starts and when it is done, and that a stored one is there', async () => {
    const { run } = newStore();
    const first = await run(['pull', APP_V1]);
    expect(first.stderr.match(/^layer [0-9a-f]{12}: unpacking [\d.]+k?B$/gm)).toHaveLength(4);
    expect(first.stderr.match(/^layer [0-9a-f]{12}: done in [\d.]+s$/gm)).toHaveLength(4);
    const again = await run(['pull', APP_V1]);
    expect(again.stderr.match(/^layer [0-9a-f]{12}: already stored$/gm)).toHaveLength(4);
    expect(again.stderr).not.toContain('unpacking');
  });

  it('is silent on stderr with --quiet, before or after the command', async () => {
    const { run } = newStore();
    expect((await run(['pull', APP_V1, '--quiet'])).stderr).toBe('');
    expect((await run(['--quiet', 'pull', APP_V2])).stderr).toBe('');
  });

  it('gives the image the name asked for and no other', async () => {
    const { lines, json } = newStore();
    await lines('pull', APP_V1, '--name', 'registry.example/team/app:stable');
    expect(await json('images')).toMatchObject([{ names: ['registry.example/team/app:stable'] }]);
  });

  it('stores the image of another platform', async () => {
    const { lines, json } = newStore();
    await lines('pull', APP_V1, '--platform', 'linux/arm64');
    expect(await json('images')).toMatchObject([{ platform: 'linux/arm64' }]);
  });

  it('goes on after a source that fails, and ends with status 1', async () => {
    const { run } = newStore();
    const { status, stdout, stderr } = await run(['pull', 'oci:/nonexistent', APP_V1, '--quiet']);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(stderr).toMatch(/^provisioner: .*\/nonexistent.*\nhint: .*\n$/);
  });

  it('prints the images as one document with --json, and the errors as one line each', async () => {
    const { run } = newStore();
    const { status, stdout, stderr } = await run(['--json', 'pull', APP_V1, 'oci:/none', 'oci:/nope']);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual([{ ...imageShape, names: [V1] }]);
    const errors = stderr.trimEnd().split('\n');
    expect(errors.map((line) => JSON.parse(line))).toEqual(
      ['/none', '/nope'].map((path) => ({
        error: {
          code: 'ERR_SOURCE_NOT_FOUND',
          message: expect.stringContaining(path),
          hint: expect.any(String),
          details: { path },
        },
      })),
    );
  });

  it.each([
    ['a directory that is no layout', [`oci:${NOT_A_LAYOUT}`], 'ERR_SOURCE_MALFORMED'],
    ['a platform that is not offered', [APP_V1, '--platform', 'linux/s390x'], 'ERR_PLATFORM_NOT_OFFERED'],
    ['a platform that is none', [APP_V1, '--platform', '///'], 'ERR_BAD_PLATFORM'],
    ['a tag that is not there', [`${APP_V1}:v9`], 'ERR_SOURCE_NOT_FOUND'],
    ['a bad name', [APP_V1, '--name', 'UPPER'], 'ERR_BAD_REFERENCE'],
    ['a bad reference', ['a b'], 'ERR_BAD_REFERENCE'],
    ['a path without its transport', ['./app'], 'ERR_BAD_SOURCE'],
  ])('refuses %s with status 1, stores nothing and prints no result', async (_, args, code) => {
    const { run, json } = newStore();
    const { status, stdout, stderr } = await run(['pull', ...args, '--json']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '[]\n' });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code } });
    expect(await json('images')).toEqual([]);
  });

  it('shows no escape sequence that an image has in its names', async () => {
    const { run } = newStore();
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [
      { image: small, refName: '\u001b[2Jone' },
      { image: buildImage([], {}), refName: '\u009b31mtwo' },
    ]);
    for (const flags of [[], ['--json'], ['--debug']]) {
      const { status, stdout, stderr } = await run(['pull', `oci:${layout}`, ...flags]);
      expect(status).toBe(1);
      expect(stderr).toContain('[2Jone');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
      expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }
  });
});

describeWith(['root'], 'provisioner load', () => {
  it('prints the names of the images in a file, one per line', async () => {
    const { lines } = newStore();
    const file = join(temporaryDirectory(), 'app.tar');
    await writeDockerArchive(file, [{ image: small, tags: ['small:v1', 'small:v2'] }]);
    expect(await lines('load', '-i', file)).toEqual(['docker.io/library/small:v1', 'docker.io/library/small:v2']);
  });

  it('tells how to pull from a directory that it is given', async () => {
    const { run } = newStore();
    const { status, stderr } = await run(['load', '-i', APP_V1.slice('oci:'.length)]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining(`\`provisioner pull ${APP_V1}\``),
    });
  });

  it('reads standard input when no file is named', async () => {
    const { run, root } = newStore();
    const file = join(temporaryDirectory(), 'app.tar');
    await writeOciArchive(file, [{ image: small, refName: 'small:v1' }]);
    const input = readFileSync(file);
    expect((await run(['load'], { input })).stdout).toBe('docker.io/library/small:v1\n');
    expect((await run(['load', '-i', '-', '--root', `${root}-2`], { input })).stdout).toBe(
      'docker.io/library/small:v1\n',
    );
  });

  it('prints the digest of an image without a name, and documents with --json', async () => {
    const { lines, json } = newStore();
    const file = join(temporaryDirectory(), 'app.tar');
    await writeOciArchive(file, [{ image: small }]);
    expect(await lines('load', '--input', file)).toEqual([smallId]);
    expect(await json('load', '-i', file)).toEqual([{ ...imageShape, id: smallId, names: [] }]);
  });

  it.each([
    ['an empty input', ''],
    ['something else than an archive', 'x'.repeat(5000)],
  ])('refuses %s with one line and leaves nothing', async (_, input) => {
    const { run, json } = newStore();
    const { status, stdout, stderr } = await run(['load'], { input });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^provisioner: .+\n(?:hint: .+\n)?$/);
    expect(await json('images')).toEqual([]);
  });

  it('says which file is missing', async () => {
    const { status, stderr } = await newStore().run(['load', '-i', '/nonexistent.tar']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^provisioner: .*\/nonexistent\.tar.*\n/);
  });
});

describeWith(['root'], 'the catalogue', () => {
  it('lists one row for each name, and an image without names as <none>', async () => {
    const {
      lines,
      digests: [id = ''],
    } = await pulledStore(APP_V1, APP_V2);
    await lines('tag', 'app:v1', 'app:stable');
    await lines('rmi', 'app:v2');
    const [headings = '', ...rows] = await lines('images');
    expect(headings.split(/ {2,}/)).toEqual(['NAME', 'DIGEST', 'PLATFORM', 'PULLED', 'SIZE']);
    const cells = rows.map((row) => row.split(/ {2,}/));
    expect(cells.map(([name]) => name).sort()).toEqual(['<none>', 'docker.io/library/app:stable', V1]);
    const stable = cells.find(([name]) => name === 'docker.io/library/app:stable');
    expect(stable).toEqual([
      'docker.io/library/app:stable',
      id.slice(7, 19),
      'linux/amd64',
      expect.stringMatching(/^\d+ seconds? ago$/),
      expect.stringMatching(/^\d+\.\d[kM]B$/),
    ]);
  });

  it('is empty in a new store: headings for people, an empty array with --json', async () => {
    const { run } = await madeStore();
    expect(await run(['images'])).toEqual({
      status: 0,
      stdout: 'NAME   DIGEST   PLATFORM   PULLED   SIZE\n',
      stderr: '',
    });
    expect(await run(['images', '--json'])).toEqual({ status: 0, stdout: '[]\n', stderr: '' });
  });

  it('shows all about an image, found by name, digest and the first digits of one', async () => {
    const {
      lines,
      digests: [id = ''],
    } = await pulledStore(APP_V1);
    const texts = ['app:v1', id, id.slice(7, 19)];
    const documents = JSON.parse((await lines('inspect', ...texts)).join('\n')) as {
      layers: string[];
      layerDetails: { id: string; exportable: boolean }[];
    }[];
    expect(documents).toHaveLength(3);
    for (const document of documents) {
      expect(document.layerDetails.map(({ id }) => id)).toEqual(document.layers);
      // The two others are the store's own.
      expect(document.layerDetails.map(({ exportable }) => exportable)).toEqual([true, true, false, true, false, true]);
      expect(document).toEqual({
        type: 'image',
        ...imageShape,
        id,
        names: [V1],
        source: APP_V1,
        created: '2024-01-01T00:00:00.000Z',
        notes: [],
        layerDetails: expect.arrayContaining([
          {
            id: expect.stringMatching(DIGEST),
            bytes: expect.any(Number),
            entries: expect.any(Number),
            exportable: true,
            notExportable: null,
            tar: 'kept',
            tarBytes: expect.any(Number),
          },
        ]),
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        configDigest: expect.stringMatching(DIGEST),
        config: expect.objectContaining({ os: 'linux', config: expect.objectContaining({ User: '1000:1001' }) }),
        manifest: expect.objectContaining({ schemaVersion: 2 }),
      });
    }
  });

  it('gets layers anew by force, keeps containers as they are, and stores without tar records when told to', async () => {
    const { lines, run } = newStore();
    await lines('pull', '--no-tar-records', APP_V1);
    const reasons = async () => {
      const [image] = JSON.parse((await lines('inspect', 'app:v1')).join('\n')) as [
        { layerDetails: { notExportable: string | null }[] },
      ];
      return [...new Set(image.layerDetails.map(({ notExportable }) => notExportable))];
    };
    expect(await reasons()).toContain('it was stored without a tar record');
    const [rootfs = ''] = await lines('provision', 'job', 'app:v1', '--backend', 'copy');
    const before = readFileSync(join(rootfs, 'etc/os-release'), 'utf8');
    const { status, stdout } = await run(['pull', '--force', '--json', APP_V1]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ parkedFor: [] }]);
    expect((JSON.parse(stdout) as [{ renewed: string[] }])[0].renewed).toHaveLength(4);
    expect(await reasons()).toEqual([null, 'this store has made it, so it has no archive']);
    expect(readFileSync(join(rootfs, 'etc/os-release'), 'utf8')).toBe(before);
    const contradiction = await run(['pull', '--force', '--policy', 'missing', APP_V1]);
    expect(contradiction).toMatchObject({ status: 2, stderr: expect.stringContaining('contradict') });
  });

  it('inspects what it can find and ends with status 1 for the rest', async () => {
    const { run } = await pulledStore(APP_V1);
    const { status, stdout, stderr } = await run(['inspect', 'nope', 'app:v1']);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject([{ names: [V1] }]);
    expect(stderr).toMatch(/^provisioner: no image "nope" in this store\nhint: .*\n$/);
  });

  it('shows no control character of a config raw, and the same config', async () => {
    const { lines, run } = newStore();
    const layout = join(temporaryDirectory(), 'layout');
    const evil = 'a\u001b[2J\u009b31m\u202e';
    await writeOciLayout(layout, [
      { image: buildImage(small.layers, { config: { Labels: { evil } } }), refName: 'x:1' },
    ]);
    await lines('pull', `oci:${layout}`);
    const { stdout } = await run(['inspect', 'x:1']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(JSON.parse(stdout)).toMatchObject([{ config: { config: { Labels: { evil } } } }]);
  });

  it('moves a name to the image that gets it', async () => {
    const {
      lines,
      json,
      digests: [first, second],
    } = await pulledStore(APP_V1, APP_V2);
    expect(await lines('tag', 'app:v1', 'app:stable')).toEqual(['docker.io/library/app:stable']);
    expect(await json('tag', 'app:v2', 'app:stable')).toEqual({ image: second, name: 'docker.io/library/app:stable' });
    expect(await json('inspect', 'app:stable')).toMatchObject([{ id: second }]);
    expect(await json('inspect', first ?? '')).toMatchObject([{ names: [V1] }]);
  });

  it('removes one name by name and all names by digest, and keeps the image', async () => {
    const {
      lines,
      json,
      run,
      digests: [id = ''],
    } = await pulledStore(APP_V1);
    for (const name of ['app:a', 'app:b']) await lines('tag', id, name);
    expect(await lines('rmi', 'app:a')).toEqual(['docker.io/library/app:a']);
    expect(await json('rmi', id)).toEqual([{ image: id, removed: ['docker.io/library/app:b', V1] }]);
    expect(await json('inspect', id)).toMatchObject([{ id, names: [] }]);
    expect(await run(['rmi', id])).toEqual({
      status: 0,
      stdout: '',
      stderr: `warning: image ${id} has no name to remove; it stays until a prune\n`,
    });
  });

  it('removes the other names when one is unknown, and ends with status 1', async () => {
    const { run } = await pulledStore(APP_V1);
    const { status, stdout, stderr } = await run(['rmi', 'nope', 'app:v1']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: `${V1}\n` });
    expect(stderr.match(/^provisioner: /gm)).toHaveLength(1);
  });

  it.each([
    ['tag', ['nope', 'app:x'], 'ERR_IMAGE_NOT_FOUND'],
    ['tag', ['app:v1', 'UPPER'], 'ERR_BAD_REFERENCE'],
    ['inspect', ['http://x'], 'ERR_BAD_REFERENCE'],
    ['rmi', ['a b'], 'ERR_BAD_REFERENCE'],
  ])('refuses `%s` with %j', async (command, args, code) => {
    const { run } = await pulledStore(APP_V1);
    const { status, stderr } = await run([command, ...args, '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code } });
  });
});

describeWith(['root'], 'the store that a command opens', () => {
  it('is the one of --root, before the one of the environment', async () => {
    const { lines, root } = await pulledStore(APP_V1);
    const other = await madeStore();
    expect(await lines('images', '--root', other.root)).toHaveLength(1);
    expect(await lines('--root', root, 'images')).toHaveLength(2);
  });

  it('is refused when a newer version made it', async () => {
    const { run, root } = await madeStore();
    writeFileSync(join(root, 'format'), '{"version":99,"whiteouts":"trusted","more":1}\n');
    const { status, stdout, stderr } = await run(['images']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^provisioner: .*format 99.*\nhint: upgrade provisioner.*\n$/);
  });

  it('is refused when its user may not enter it, and says so in one line', async () => {
    const { run, root } = await madeStore();
    const { status, stdout, stderr } = await run(['images'], { uid: 65534 });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^provisioner: (?:not permitted|the store) .*\nhint: .*\n$/);
    expect(stderr).toContain(root);
  });

  it('is refused when it is a file', async () => {
    const { run } = newStore();
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    const { status, stderr } = await run(['images', '--json', '--root', file]);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_IO' } });
  });
});

describeWith(['root'], 'an image for another platform', () => {
  it('is told to be stored without the name that is taken, and warned about in one line when a container is made of it', async () => {
    const here = formatPlatform(machinePlatform());
    const foreign = here === 'linux/arm64' ? 'linux/s390x' : 'linux/arm64';
    const images = [here, foreign].map((platform) => {
      const [os = '', architecture = ''] = platform.split('/');
      return buildImage([buildLayer([{ path: 'app', content: platform }])], { platform: { os, architecture } });
    });
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: buildIndex(images), refName: 'it' }]);
    const { run, lines } = newStore();
    const [native] = await lines('pull', `oci:${layout}`, '--name', 'app');
    const pulled = await run(['pull', `oci:${layout}`, '--name', 'app', '--platform', foreign, '--progress', 'none']);
    const digest = pulled.stdout.trimEnd();
    expect(pulled).toMatchObject({ status: 0, stdout: expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/) });
    expect(digest).not.toBe(native);
    expect(pulled.stderr).toBe(
      `warning: the image for ${foreign} is stored as ${digest}; the name docker.io/library/app:latest stays with the image for ${here}\n`,
    );
    const provision = (...args: string[]) => run(['provision', 'job', ...args, '--policy', 'never']);
    expect(await provision('app')).toMatchObject({ status: 0, stderr: '' });
    const made = await provision('app', '--platform', foreign);
    expect(made).toMatchObject({ status: 0, stderr: expect.stringMatching(/^warning: .* is for .*\n$/) });
    expect(readFileSync(join(made.stdout.trimEnd(), 'app'), 'utf8')).toBe(foreign);
    await lines('destroy', 'job');
  });
});
