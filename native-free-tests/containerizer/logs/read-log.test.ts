import { appendFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LaunchDirectory } from '#src/containerizer/launches/launch-directory.js';
import { type LogSelection, readLog } from '#src/containerizer/logs/read-log.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

const line = (text: string, { stream = 'stdout', second = 0, tag = 'F' } = {}) =>
  `2026-11-30T06:26:${String(second).padStart(2, '0')}.000000000Z ${stream} ${tag} ${text}\n`;

function launchDirectory(): LaunchDirectory {
  const directory = new LaunchDirectory(temporaryDirectory());
  mkdirSync(directory.output);
  return directory;
}

async function read(
  directory: LaunchDirectory,
  selection: LogSelection = {},
  ended: Promise<unknown> = Promise.resolve(),
) {
  const found: string[] = [];
  for await (const { bytes } of readLog(directory, selection, ended)) found.push(bytes.toString());
  return found;
}

describe('the log of a program', () => {
  it('is empty when nothing was printed, also where there is no file yet', async () => {
    expect(await read(launchDirectory())).toEqual([]);
  });

  it('begins with the part that was put aside', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.olderLog, line('one'));
    writeFileSync(directory.log, line('two'));
    expect(await read(directory)).toEqual(['one\n', 'two\n']);
  });

  it('can be had from a time on', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, line('old', { second: 1 }) + line('new', { second: 2 }));
    expect(await read(directory, { since: new Date('2026-11-30T06:26:02Z') })).toEqual(['new\n']);
  });

  it('can be had by its last lines, whose parts count as one', async () => {
    const directory = launchDirectory();
    const lines = Array.from({ length: 1000 }, (_, index) => line(`l${index}`));
    writeFileSync(directory.log, lines.join('') + line('pa', { tag: 'P' }) + line('rt') + line('end', { tag: 'P' }));
    expect(await read(directory, { tail: 0 })).toEqual([]);
    expect(await read(directory, { tail: 1 })).toEqual(['end']);
    expect(await read(directory, { tail: 3 })).toEqual(['l999\n', 'pa', 'rt\n', 'end']);
    expect(await read(directory, { tail: 5000 })).toHaveLength(1003);
  });

  it('can be followed until its program has ended, over the change of files', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, line('0'));
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const found: string[] = [];
    let count = 1;
    for await (const { bytes } of readLog(directory, { follow: true }, ended)) {
      found.push(bytes.toString().trim());
      if (count === 40) end();
      else if (count % 10 === 0) {
        renameSync(directory.log, directory.olderLog);
        writeFileSync(directory.log, line(String(count++)));
      } else appendFileSync(directory.log, line(String(count++)));
    }
    expect(found).toEqual(Array.from({ length: 40 }, (_, index) => String(index)));
  });

  it('stops being followed when the signal says so', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, line('one'));
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of readLog(directory, { follow: true, signal: controller.signal }, new Promise(() => {})))
        controller.abort(new Error('enough'));
    })();
    await expect(reading).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: new Error('enough') });
  });

  it('is not read through a link that stands in its place', async () => {
    const directory = launchDirectory();
    const other = join(temporaryDirectory(), 'secret');
    writeFileSync(other, line('secret'));
    symlinkSync(other, directory.log);
    await expect(read(directory)).rejects.toThrow('ELOOP');
  });
});
