import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCdiDevices } from '#src/containerizer/devices/cdi/cdi-directories.js';

let place: string;
let directories: [string, string];
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'cdi-'));
  directories = [join(place, 'etc'), join(place, 'run')];
  for (const directory of directories) mkdirSync(directory);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const text = (value: string, kind = 'example.com/thing', name = 'one') =>
  JSON.stringify({ cdiVersion: '0.6.0', kind, devices: [{ name, containerEdits: { env: [`VALUE=${value}`] } }] });

function put(name: string, content: string, where: 0 | 1 = 0): string {
  const path = join(directories[where], name);
  writeFileSync(path, content, { mode: 0o644 });
  return path;
}

const envOf = async (name: string) => (await findCdiDevices([name], directories))[0]?.edits.env?.[0];

describe('the directories of CDI files', () => {
  it('are looked through for JSON and YAML, and for nothing else', async () => {
    put('a.json', text('json'));
    put(
      'b.yaml',
      'cdiVersion: "0.6.0"\nkind: example.com/other\ndevices:\n- name: two\n  containerEdits:\n    env: ["VALUE=yaml"]\n',
    );
    put('c.yml', text('yml', 'example.com/no'));
    put('d.json.bak', text('bak', 'example.com/no'));
    expect(await envOf('example.com/thing=one')).toBe('VALUE=json');
    expect(await envOf('example.com/other=two')).toBe('VALUE=yaml');
    await expect(envOf('example.com/no=one')).rejects.toMatchObject({ code: 'ERR_DEVICE_NOT_FOUND' });
  });

  it('may be missing', async () => {
    for (const directory of directories) rmSync(directory, { recursive: true });
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
      hint: expect.stringContaining('there is none'),
    });
  });

  it('count more the later they come, and two files of one directory that describe the same are for nobody', async () => {
    put('a.json', text('etc'));
    put('a.json', text('run'), 1);
    expect(await envOf('example.com/thing=one')).toBe('VALUE=run');
    put('b.json', text('again'), 1);
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({
      code: 'ERR_CDI_FILE',
      message: expect.stringMatching(/a\.json and .*b\.json both describe/),
    });
  });

  it('may have a file that is bad, which is told to whoever needs it, and spoils no other', async () => {
    put('a.json', text('good'));
    const bad = put('b.json', '{ "cdiVersion": 3');
    expect(await envOf('example.com/thing=one')).toBe('VALUE=good');
    await expect(envOf('example.com/thing=two')).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
      hint: expect.stringContaining('example.com/thing=one'),
    });
    await expect(envOf('example.com/missing=one')).rejects.toMatchObject({
      code: 'ERR_CDI_FILE',
      message: expect.stringContaining(bad),
    });
  });

  it.each<[string, (path: string) => void]>([
    ['to which others may write', (path) => chmodSync(path, 0o666)],
    ['in a directory to which others may write', () => chmodSync(directories[0], 0o777)],
  ])('are not believed in a file %s', async (_, arrange) => {
    arrange(put('a.json', text('planted')));
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({
      code: 'ERR_CDI_FILE',
      message: expect.stringContaining('others can write to'),
    });
  });

  it('may have links in them', async () => {
    const elsewhere = join(place, 'elsewhere.json');
    writeFileSync(elsewhere, text('linked'), { mode: 0o644 });
    symlinkSync(elsewhere, join(directories[0], 'a.json'));
    expect(await envOf('example.com/thing=one')).toBe('VALUE=linked');
  });

  it.each([
    [
      'a billion laughs',
      `a: &a [x]\n${'bcdefghijklmnopqrstuvwxyz'
        .split('')
        .map((name, index) => `${name}: &${name} [${`*${'abcdefghijklmnopqrstuvwxyz'[index]},`.repeat(9)}]`)
        .join('\n')}\n`,
    ],
    ['a key twice', 'kind: example.com/thing\nkind: example.com/thing\n'],
    ['what is no YAML', 'a: [b\n'],
    ['nothing', ''],
  ])('are read safely where a file has %s', async (_, content) => {
    put('a.yaml', content);
    const begun = performance.now();
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({ code: 'ERR_CDI_FILE' });
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  it('are asked for nothing but names', async () => {
    for (const name of ['', 'thing', '/dev/fuse', 'a/b=', 'a/b=c d'])
      await expect(findCdiDevices([name], directories)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
  });
});

describe('what a CDI file says', () => {
  const yaml = (device: string, edits: string) =>
    `cdiVersion: 1.0.0\nkind: example.com/thing\ndevices:\n- name: ${device}\n  containerEdits:\n${edits}`;
  const editsIn = async (name: string) => (await findCdiDevices([name], directories))[0]?.edits;

  it('in YAML is what YAML 1.1 makes of it', async () => {
    put(
      'a.yaml',
      yaml(
        '0',
        '    deviceNodes:\n    - &node {path: /dev/a, fileMode: 0666, uid: 0x10}\n    - <<: *node\n      path: /dev/b\n    env: [A=1, "B=2"]\n',
      ),
    );
    expect(await editsIn('example.com/thing=0')).toEqual({
      deviceNodes: [
        { path: '/dev/a', fileMode: 0o666, uid: 16 },
        { path: '/dev/b', fileMode: 0o666, uid: 16 },
      ],
      env: ['A=1', 'B=2'],
    });
  });

  it.each(['0:1', '12:30:45', '2026-01-01', 'yes'])('in YAML may have the name %s', async (name) => {
    put('a.yaml', yaml(name, '    env: [A=1]\n'));
    const called = name === 'yes' ? 'true' : name;
    expect(await editsIn(`example.com/thing=${called}`)).toEqual({ env: ['A=1'] });
  });

  it('in JSON may begin with a mark of the order of bytes', async () => {
    put('a.json', `\uFEFF${text('marked')}`);
    expect(await envOf('example.com/thing=one')).toBe('VALUE=marked');
  });

  it.each([
    ['at the top', '{"kind": "example.com/thing", "kind": "example.com/thing"}'],
    ['spelt in two ways', '{"kind": "example.com/thing", "\\u006bind": "example.com/thing"}'],
    [
      'inside',
      '{"kind": "example.com/thing", "devices": [{"name": "a"}, {"name": "b", "x": {"name": "c"}, "name": "d"}]}',
    ],
  ])('in JSON has no key twice: %s', async (_, content) => {
    put('a.json', content);
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({
      code: 'ERR_CDI_FILE',
      message: expect.stringContaining('stands there twice'),
    });
  });

  it('may have names in letters of another case, as its specification has', async () => {
    put('a.json', text('x').replace('"env"', '"additionalGIDs":[44],"Env"').replace('0.6.0', '0.7.0'));
    expect(await editsIn('example.com/thing=one')).toEqual({ additionalGids: [44], env: ['VALUE=x'] });
  });
});

describe('a CDI file that cannot be used', () => {
  it('keeps an older one from counting in its place, and nothing else', async () => {
    put('a.json', text('old'));
    put('b.json', text('other', 'example.com/other'));
    const bad = put('a.json', text('new').replace('"devices"', '"devises"'), 1);
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({
      code: 'ERR_CDI_FILE',
      message: expect.stringMatching(new RegExp(`${bad} cannot be used.*${join(directories[0], 'a.json')}`)),
    });
    expect(await envOf('example.com/other=one')).toBe('VALUE=other');
    // It is not to be seen what it would have been.
    put('a.json', '{', 1);
    await expect(envOf('example.com/other=one')).rejects.toMatchObject({ code: 'ERR_CDI_FILE' });
    // One that counts less is in nobody's way.
    put('a.json', text('old'), 1);
    put('a.json', '{');
    expect(await envOf('example.com/thing=one')).toBe('VALUE=old');
  });

  it('is named when it may have what is missing, with all of its sort', async () => {
    put('a.json', text('x', 'example.com/other').replace('"devices"', '"devises"'));
    const [first, second] = [
      put('b.json', text('x').replace('"devices"', '"devises"')),
      put('c.yaml', 'kind: example.com/thing\n'),
    ];
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({
      code: 'ERR_CDI_FILE',
      message: expect.stringMatching(new RegExp(`^(?!.*a\\.json).*${first}.*${second}`)),
    });
    put('d.json', text('sound', 'example.com/thing', 'two'));
    await expect(envOf('example.com/thing=one')).rejects.toMatchObject({ code: 'ERR_CDI_FILE' });
  });

  it('is not named to who asks for another kind, of which the names are told, or the kinds', async () => {
    put('a.json', text('x').replace('"devices"', '"devises"'));
    put('b.json', text('x', 'example.com/other', 'first'));
    await expect(envOf('example.com/other=second')).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
      hint: expect.stringMatching(/^there is example\.com\/other=first;/),
    });
    await expect(envOf('example.com/third=one')).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
      hint: expect.stringMatching(/^there is none of that kind, but of example\.com\/other;/),
    });
  });

  it('is not believed where its group may write, which is said so', async () => {
    chmodSync(put('a.json', text('x')), 0o664);
    await expect(envOf('example.com/thing=one')).rejects.toThrow(/its group can write to it/);
  });
});
