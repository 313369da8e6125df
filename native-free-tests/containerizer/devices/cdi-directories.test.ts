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
    ['a key twice', 'kind: a.b/c\nkind: a.b/d\n'],
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
