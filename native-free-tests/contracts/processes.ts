import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pipeClosed, readPipe, writePipe } from '#src/system/processes/pipe-streams.js';
import { processStat } from '#src/system/processes/process-stat.js';
import type { ProcessExit, Processes, SpawnRequest } from '#src/system/processes/processes.js';

const SIGTERM = 15;
const SIGKILL = 9;
const CAT = '/bin/cat';
const SHELL = '/bin/sh';

/** Numbers of this process's descriptors. */
const openHere = (): number => readdirSync('/proc/self/fd').length;

/** Those that whoever started this process has left to it, and to all that it starts through Node. */
function withoutCloseOnExec(): string[] {
  const CLOSE_ON_EXEC = 0o2000000;
  return readdirSync('/proc/self/fdinfo').filter((number) => {
    try {
      const [, flags = '0'] = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'latin1')) ?? [];
      return Number(number) > 2 && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
    } catch {
      return false;
    }
  });
}

/** What every way to start processes promises. @param load is called when a test needs it */
export function describeProcesses(kind: Processes['kind'], load: () => Processes): void {
  let processes: Processes;
  let place: string;

  beforeAll(() => {
    processes = load();
    place = mkdtempSync(join(tmpdir(), 'provisioner-processes-'));
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  /** Runs it to its end. @returns what it wrote to its standard output, and how it ended */
  async function run(request: Partial<SpawnRequest> & { program: string }): Promise<{ output: string } & ProcessExit> {
    const pipe = processes.openPipe();
    try {
      const { pid } = await processes.spawn({ args: [], env: {}, descriptors: ['null', pipe.writeEnd], ...request });
      closeSync(pipe.writeEnd);
      const output = await text(readPipe(pipe.readEnd));
      return { output, ...(await processes.exitOf(pid)) };
    } catch (error) {
      closeSync(pipe.writeEnd);
      closeSync(pipe.readEnd);
      throw error;
    }
  }

  const shell = (script: string, request: Partial<SpawnRequest> = {}) =>
    run({ program: SHELL, args: ['-c', script], ...request });

  /** A process that lives until `end` is called, with these beside its standard input. */
  async function living(descriptors: readonly (number | 'null')[] = [], request: Partial<SpawnRequest> = {}) {
    const pipe = processes.openPipe();
    const all = [pipe.readEnd, ...descriptors];
    const { pid } = await processes.spawn({ program: CAT, args: [], env: {}, descriptors: all, ...request });
    closeSync(pipe.readEnd);
    return {
      pid,
      end: () => {
        closeSync(pipe.writeEnd);
        return processes.exitOf(pid);
      },
    };
  }

  /** What it has open that is expected to have so much, as soon as that is all: while it is loaded it has the files open that it is loaded from. */
  async function descriptorsOf(pid: number, count: number): Promise<string[]> {
    const tolerated = kind === 'native' ? [] : withoutCloseOnExec();
    const look = () => readdirSync(`/proc/${pid}/fd`).filter((number) => !tolerated.includes(number));
    // A program that is being loaded has a file more open now and then.
    let seen: string[] = [];
    await until(() => {
      seen = look();
      return seen.length === count;
    }).catch(() => undefined);
    return seen.toSorted((one, other) => Number(one) - Number(other));
  }

  const failureOf = (request: Partial<SpawnRequest>): Promise<NodeJS.ErrnoException> =>
    processes.spawn({ program: CAT, args: [], env: {}, ...request }).then(
      () => expect.fail('it was started'),
      (error: NodeJS.ErrnoException) => error,
    );

  describe(`processes, ${kind},`, () => {
    it('are of that kind', () => {
      expect(processes.kind).toBe(kind);
    });

    it('get their arguments as they are: empty, with spaces, quotes, line ends, letters of all kinds', async () => {
      const args = ['/proc/self/cmdline', '', ' ', 'a b', '"\'$HOME`\\', 'two\nlines', 'ü€😀', '-', ''];
      const { output } = await run({ program: CAT, args });
      expect(output.split('\0').slice(1, -1)).toEqual(args);
    });

    it('get the environment they are given and nothing of that of this process', async () => {
      const env = { A: '', B: 'x=y=z', 'with space': ' ', Ü: 'ü\n😀', PATH: '/nowhere' };
      const { output } = await run({ program: CAT, args: ['/proc/self/environ'], env });
      expect(output.split('\0').slice(0, -1).toSorted()).toEqual([
        'A=',
        'B=x=y=z',
        'PATH=/nowhere',
        'with space= ',
        'Ü=ü\n😀',
      ]);
    });

    it('may have no arguments and no environment at all', async () => {
      expect(await run({ program: CAT, args: ['/proc/self/environ'] })).toEqual({ output: '', code: 0 });
    });

    it('tell the code that they end with', async () => {
      for (const code of [0, 1, 127, 255]) expect(await shell(`exit ${code}`)).toEqual({ output: '', code });
    });

    it('tell the signal that ended them, also when they dumped core for it', async () => {
      for (const [name, signal] of Object.entries({ KILL: 9, TERM: 15, ABRT: 6, SEGV: 11 }))
        expect(await shell(`ulimit -c 0; kill -${name} $$`)).toEqual({ output: '', signal });
    });

    it('start in the directory they are given, else in that of this process', async () => {
      const directory = join(place, 'a directory ü');
      mkdirSync(directory);
      expect((await run({ program: '/bin/pwd', args: ['-P'], directory })).output).toBe(`${directory}\n`);
      expect((await run({ program: '/bin/pwd', args: ['-P'] })).output).toBe(`${process.cwd()}\n`);
    });

    it('have the null device where they get nothing, so that 0, 1 and 2 are open', async () => {
      const pipe = processes.openPipe();
      const { pid } = await processes.spawn({
        program: SHELL,
        args: ['-c', 'kill -STOP $$; cat <&3'],
        env: { PATH: '/usr/bin:/bin' },
        descriptors: ['null', 'null', 'null', pipe.readEnd, 'null'],
      });
      try {
        await until(() => processStat(pid)?.state === 'T');
        const links = [0, 1, 2, 4].map((number) => readlinkSync(`/proc/${pid}/fd/${number}`));
        expect(links).toEqual(Array(4).fill('/dev/null'));
        expect(await descriptorsOf(pid, 5)).toEqual(['0', '1', '2', '3', '4']);
      } finally {
        for (const end of [pipe.readEnd, pipe.writeEnd]) closeSync(end);
        signal(pid, SIGKILL);
        await processes.exitOf(pid);
      }
      const bare = await living([]);
      expect(await descriptorsOf(bare.pid, 3)).toEqual(['0', '1', '2']);
      await bare.end();
    });

    it('inherit none of a thousand descriptors but those that are handed over', async () => {
      const files = Array.from({ length: 1000 }, () => openSync('/dev/zero', 'r'));
      try {
        const child = await living(['null', 'null', files[500] as number]);
        expect(await descriptorsOf(child.pid, 4)).toEqual(['0', '1', '2', '3']);
        expect(readlinkSync(`/proc/${child.pid}/fd/3`)).toBe('/dev/zero');
        expect(await child.end()).toEqual({ code: 0 });
      } finally {
        for (const file of files) closeSync(file);
      }
    });

    it('get descriptors in any order: exchanged, twice, and under numbers that others of them have here', async () => {
      const paths = Array.from({ length: 12 }, (_, index) => join(place, `file-${index}`));
      const files = paths.map((path) => openSync(path, 'w+'));
      const sorted = files.toSorted((one, other) => one - other);
      try {
        // So many that all of them are among the numbers that are wanted; and so many that the first number beyond those is one of them.
        for (const count of [(sorted.at(-1) as number) + 3, sorted[6] as number]) {
          const wanted = Array.from({ length: count - 1 }, (_, at) => files[(at * 5 + 3) % files.length] as number);
          const child = await living(wanted);
          const links = wanted.map((_, index) => readlinkSync(`/proc/${child.pid}/fd/${index + 1}`));
          expect(links).toEqual(wanted.map((file) => paths[files.indexOf(file)]));
          expect(await descriptorsOf(child.pid, count)).toHaveLength(count);
          expect(await child.end()).toEqual({ code: 0 });
        }
      } finally {
        for (const file of files) closeSync(file);
      }
    });

    it('have no signal blocked and none ignored, though Node ignores SIGPIPE', async () => {
      const { output } = await run({ program: CAT, args: ['/proc/self/status'] });
      const [, ignored = '0'] = /^SigIgn:\s+(\w+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
      expect(BigInt(`0x${ignored}`) & (1n << 12n)).not.toBe(0n);
      for (const field of ['SigBlk', 'SigIgn', 'SigCgt']) expect(output).toMatch(new RegExp(`^${field}:\\s+0+$`, 'm'));
    });

    it('lead a session of their own, unless they are to stay in this one', async () => {
      const own = await living();
      const same = await living([], { newSession: false });
      expect(processStat(own.pid)?.session).toBe(own.pid);
      expect(processStat(same.pid)?.session).toBe(processStat(process.pid)?.session);
      expect(processStat(own.pid)?.parent).toBe(process.pid);
      await own.end();
      await same.end();
    });

    it('are not started from a program that is not there, or is not to be executed, and it is named', async () => {
      const plain = join(place, 'plain');
      writeFileSync(plain, 'x');
      chmodSync(plain, 0o644);
      expect(await failureOf({ program: '/no/such/program' })).toMatchObject({
        code: 'ENOENT',
        path: '/no/such/program',
      });
      expect(await failureOf({ program: plain })).toMatchObject({ code: 'EACCES', path: plain });
      expect(await failureOf({ program: place })).toMatchObject({ code: 'EACCES', path: place });
      expect(await failureOf({ program: `${plain}/x` })).toMatchObject({ code: 'ENOTDIR', path: `${plain}/x` });
    });

    it('are not started from a script whose interpreter is not there', async () => {
      const script = join(place, 'script');
      writeFileSync(script, '#!/no/such/interpreter\n');
      chmodSync(script, 0o755);
      expect(await failureOf({ program: script })).toMatchObject({ code: 'ENOENT', path: script });
    });

    it('are not started in a directory that is not there, or is none, and it is named, not the program', async () => {
      const file = join(place, 'no-directory');
      writeFileSync(file, '');
      const missing = join(place, 'missing');
      expect(await failureOf({ directory: missing })).toMatchObject({
        code: 'ENOENT',
        syscall: 'chdir',
        path: missing,
      });
      expect(await failureOf({ directory: file })).toMatchObject({ code: 'ENOTDIR', syscall: 'chdir', path: file });
      expect(await failureOf({ program: '/no/such', directory: place })).toMatchObject({
        code: 'ENOENT',
        path: '/no/such',
      });
    });

    it('are not started with more arguments than the kernel takes, nor with one that is too long', async () => {
      expect(await failureOf({ args: ['x'.repeat(200_000)] })).toMatchObject({ code: 'E2BIG', path: CAT });
      expect(await failureOf({ args: Array(80).fill('x'.repeat(100_000)) })).toMatchObject({ code: 'E2BIG' });
      expect(await failureOf({ env: { X: 'x'.repeat(200_000) } })).toMatchObject({ code: 'E2BIG' });
    });

    it('are not started with what would be cut at a NUL, with a path that depends on a directory, or with a name that is none', async () => {
      for (const request of [
        { args: ['a\0b'] },
        { env: { A: '\0' } },
        { env: { 'A\0': '' } },
        { env: { 'A=B': '' } },
        { env: { '': '' } },
        { program: 'cat' },
        { program: `${CAT}\0x` },
        { directory: '.' },
        { directory: '/\0' },
        { descriptors: [-1] },
        { descriptors: [0.5] },
      ])
        expect(await failureOf(request), JSON.stringify(request)).toMatchObject({ code: 'EINVAL' });
    });

    it('are not started with a descriptor that is not open', async () => {
      expect(await failureOf({ descriptors: ['null', 100_000] })).toMatchObject({ code: 'EBADF' });
    });

    it('leave no zombie and no descriptor, many of them, 20 at a time, some of which cannot be started', async () => {
      const before = openHere();
      const pids: number[] = [];
      // A pipe takes a process of its own without native calls.
      const rounds = kind === 'native' ? 10 : 3;
      for (let round = 0; round < rounds; round++) {
        const attempts = Array.from({ length: 20 }, async (_, index) => {
          const end = processes.openPipe();
          const program = index % 5 === 4 ? '/no/such/program' : SHELL;
          const started = processes.spawn({
            program,
            args: ['-c', `exit ${index}`],
            env: {},
            descriptors: ['null', 'null', 'null', end.writeEnd],
          });
          try {
            const { pid } = await started;
            pids.push(pid);
            closeSync(end.writeEnd);
            expect(await processes.exitOf(pid, { ended: pipeClosed(end.readEnd) })).toEqual({ code: index });
          } catch (error) {
            expect(error).toMatchObject({ code: 'ENOENT', path: '/no/such/program' });
            closeSync(end.writeEnd);
            closeSync(end.readEnd);
          }
        });
        await Promise.all(attempts);
      }
      expect(pids).toHaveLength(16 * rounds);
      expect(pids.filter((pid) => processStat(pid)?.parent === process.pid)).toEqual([]);
      await until(() => openHere() <= before);
    });

    it('tell their end once', async () => {
      const { pid } = await processes.spawn({ program: SHELL, args: ['-c', 'exit 3'], env: {} });
      expect(await processes.exitOf(pid)).toEqual({ code: 3 });
      await expect(processes.exitOf(pid)).rejects.toMatchObject({ code: 'ECHILD' });
      await expect(processes.exitOf(process.pid)).rejects.toMatchObject({ code: 'ECHILD' });
    });

    it('tell an end that came before anybody asked', async () => {
      const { pid } = await processes.spawn({ program: SHELL, args: ['-c', 'exit 5'], env: {} });
      await until(() => ['Z', undefined].includes(processStat(pid)?.state));
      expect(await processes.exitOf(pid)).toEqual({ code: 5 });
    });

    it('are waited for without a stop of the event loop, until the caller gives up; and then by somebody else', async () => {
      const child = await living();
      const controller = new AbortController();
      const given = processes.exitOf(child.pid, { signal: controller.signal });
      let turns = 0;
      for (; turns < 20; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
      controller.abort(new Error('enough'));
      await expect(given).rejects.toThrow('enough');
      expect(await child.end()).toEqual({ code: 0 });
    });

    it('are told as soon as they end when a pipe that they hold closes', async () => {
      const life = processes.openPipe();
      const child = await living(['null', 'null', life.writeEnd]);
      closeSync(life.writeEnd);
      const closed = pipeClosed(life.readEnd);
      let end = Number.POSITIVE_INFINITY;
      const told = processes.exitOf(child.pid, { ended: closed }).then((exit) => {
        expect(exit).toEqual({ signal: SIGKILL });
        return performance.now() - end;
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      end = performance.now();
      signal(child.pid, SIGKILL);
      // Without the pipe it would be the next look, one of each second.
      expect(await told).toBeLessThan(500);
      await child.end().catch(() => {});
    });

    it('are waited for also when nobody is in a hurry any more, and whoever has told of their end first', async () => {
      const [child, other] = [await living(), await living()];
      const idle = new AbortController();
      const waits = [
        processes.exitOf(child.pid, { idle: idle.signal, ended: Promise.resolve() }),
        processes.exitOf(other.pid, { idle: AbortSignal.abort() }),
      ];
      idle.abort();
      for (const { pid } of [child, other]) signal(pid, SIGKILL);
      expect(await Promise.all(waits)).toEqual([{ signal: SIGKILL }, { signal: SIGKILL }]);
      for (const { end } of [child, other]) await end().catch(() => {});
    });

    it('are told also when somebody else goes on holding the pipe', async () => {
      const life = processes.openPipe();
      const script = 'sleep 30 3>&3 & echo $!';
      const output = processes.openPipe();
      const { pid } = await processes.spawn({
        program: SHELL,
        args: ['-c', script],
        env: { PATH: '/usr/bin:/bin' },
        descriptors: ['null', output.writeEnd, 'null', life.writeEnd],
      });
      closeSync(life.writeEnd);
      closeSync(output.writeEnd);
      const closed = pipeClosed(life.readEnd);
      const [said] = (await once(readPipe(output.readEnd), 'data')) as [Buffer];
      expect(await processes.exitOf(pid, { ended: closed })).toEqual({ code: 0 });
      signal(Number(said.toString()), SIGKILL);
      await closed;
    });

    it("of Node's own are left to Node", async () => {
      const { spawn } = await import('node:child_process');
      const nodes = Array.from({ length: 10 }, () => spawn(SHELL, ['-c', 'exit 6'], { stdio: 'ignore' }));
      const ends = nodes.map((child) => once(child, 'exit'));
      const ours = await Promise.all(Array.from({ length: 10 }, () => shell('exit 7')));
      expect((await Promise.all(ends)).map(([code]) => code)).toEqual(Array(10).fill(6));
      expect(ours.map(({ code }) => code)).toEqual(Array(10).fill(7));
    });

    it('read what is written into a pipe, and the writer hears that its reader has gone', async () => {
      const [input, output] = [processes.openPipe(), processes.openPipe()];
      const { pid } = await processes.spawn({
        program: CAT,
        args: [],
        env: {},
        descriptors: [input.readEnd, output.writeEnd],
      });
      closeSync(input.readEnd);
      closeSync(output.writeEnd);
      const large = 'x'.repeat(1_000_000);
      const into = writePipe(input.writeEnd);
      into.end(large);
      expect(await text(readPipe(output.readEnd))).toBe(large);
      expect(await processes.exitOf(pid)).toEqual({ code: 0 });

      const broken = processes.openPipe();
      closeSync(broken.readEnd);
      const failing = writePipe(broken.writeEnd);
      failing.write('x');
      expect((await once(failing, 'error'))[0]).toMatchObject({ code: 'EPIPE' });
    });

    it('whose pipe nobody reads wait for a reader: their end of it is an ordinary one', async () => {
      const pipe = processes.openPipe();
      const reader = readPipe(pipe.readEnd);
      reader.pause();
      const { pid } = await processes.spawn({
        program: SHELL,
        args: ['-c', 'exec dd if=/dev/zero bs=65536 count=32 2>/dev/null'],
        env: { PATH: '/usr/bin:/bin' },
        descriptors: ['null', pipe.writeEnd],
      });
      closeSync(pipe.writeEnd);
      expect((await text(reader)).length).toBe(32 * 65536);
      expect(await processes.exitOf(pid)).toEqual({ code: 0 });
    });

    it('are signalled by a handle, which tells whether they have ended', async () => {
      const child = await living();
      const { startTicks } = processStat(child.pid) ?? {};
      const handle = processes.open(child.pid, startTicks);
      expect(handle).toMatchObject({ pid: child.pid });
      expect(handle?.hasEnded()).toBe(false);
      expect(handle?.send(0)).toBe(true);
      expect(() => handle?.send(1000)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
      expect(handle?.send(SIGTERM)).toBe(true);
      await until(() => handle?.hasEnded() === true);
      expect(await child.end()).toEqual({ signal: SIGTERM });
      expect(handle?.hasEnded()).toBe(true);
      expect(handle?.send(SIGTERM)).toBe(false);
      handle?.close();
      handle?.close();
    });

    it('are not taken for those that had their number before them', async () => {
      const child = await living();
      const { startTicks = 0n } = processStat(child.pid) ?? {};
      expect(processes.open(child.pid, startTicks - 1n)).toBeUndefined();
      expect(processStat(child.pid)?.state).not.toBe('Z');
      await child.end();
      expect(processes.open(child.pid)).toBeUndefined();
      expect(processStat(child.pid)).toBeUndefined();
    });

    it('are never signalled by numbers that mean groups of them, or init', () => {
      for (const pid of [-1, 0, 1, -process.pid, 1.5, Number.NaN])
        expect(() => processes.open(pid)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    });

    it('run from a copy of their program that nobody can change, where there is such a thing', async () => {
      const copy = processes.sealedCopy(CAT);
      if (copy === undefined) return expect(kind).toBe('native-free');
      try {
        for (const change of [() => writeSync(copy, 'x', 0), () => openSync(`/proc/self/fd/${copy}`, 'w')])
          expect(change).toThrow(/EPERM|ETXTBSY/);
        const { pid } = await processes.spawn({
          program: `/proc/${process.pid}/fd/${copy}`,
          args: ['/dev/null'],
          env: {},
        });
        expect(await processes.exitOf(pid)).toEqual({ code: 0 });
        const pipe = processes.openPipe();
        const handedOver = await processes.spawn({
          program: '/proc/self/fd/3',
          args: ['/proc/self/cmdline'],
          env: {},
          descriptors: ['null', pipe.writeEnd, 'null', copy],
        });
        closeSync(pipe.writeEnd);
        expect(await text(readPipe(pipe.readEnd))).toBe('/proc/self/fd/3\0/proc/self/cmdline\0');
        expect(await processes.exitOf(handedOver.pid)).toEqual({ code: 0 });
      } finally {
        closeSync(copy);
      }
    });
  });

  function signal(pid: number, number: number): void {
    const handle = processes.open(pid);
    handle?.send(number);
    handle?.close();
  }
}

/** Looks until it is so; the test's own time limit is the end of it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}
