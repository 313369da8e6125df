import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type {
  ContainerEvent,
  Containerizer,
  CreateOptions,
  Launched,
  LaunchOptions,
  LogSelection,
} from '#src/containerizer/index.js';
import * as p from './container-programs.js';
import { type ContractProgram, shell } from './container-programs.js';

/** A test that is none for what the suite runs over. */
const NOT_PROMISED = (_title: string, _test: () => unknown): void => {};

export interface ContainerizerTraits {
  /** A program more ends with its process, and not with the last that can still print. Default: yes. runc copies what its `exec` prints, to its end. */
  readonly execEndsAlone?: false;
}

export interface ContainerizerUnderTest {
  readonly containers: Containerizer;
  /** The same containers, for another owner. */
  readonly stranger: Containerizer;
  /** An image with a shell and what belongs to it in `/bin`, users root and alice (1000:1001), and the command `true`. */
  readonly image: string;
  /** Whatever there still is of containers, anywhere. */
  readonly left: () => Promise<readonly string[]>;
}

const SIGTERM = 15;
const SIGKILL = 9;

/** What every way to run containers promises. @param open is called before each test */
export function describeContainerizer(
  title: string,
  open: () => Promise<ContainerizerUnderTest>,
  { execEndsAlone }: ContainerizerTraits = {},
): void {
  const endsAlone = execEndsAlone === false ? NOT_PROMISED : it;
  describe(title, () => {
    let containers: Containerizer;
    let stranger: Containerizer;
    let image: string;
    let left: ContainerizerUnderTest['left'];
    beforeEach(async () => {
      ({ containers, stranger, image, left } = await open());
    });

    const launch = (id: string, program: ContractProgram, options: LaunchOptions = {}) =>
      containers.launch(id, image, { command: shell(program), ...options });

    const create = (id: string, program: ContractProgram, options: CreateOptions = {}) =>
      containers.create(id, image, { command: shell(program), ...options });

    /** Resolves when its program has said that it is ready. */
    async function launchReady(id: string, program = p.runs, options: LaunchOptions = {}) {
      const launched = await launch(id, program, options);
      for await (const { bytes } of containers.logs(id, { follow: true })) if (bytes.includes('ready')) break;
      return launched;
    }

    /** All that is read of what was attached to. */
    async function toldBy({ output }: Launched): Promise<string> {
      let told = '';
      for await (const { bytes } of output ?? []) told += bytes;
      return told;
    }

    async function printed(id: string, selection: LogSelection = {}): Promise<Record<'stdout' | 'stderr', string>> {
      const all = { stdout: '', stderr: '', monitor: '' };
      for await (const { stream, bytes } of containers.logs(id, selection)) all[stream] += bytes.toString();
      return { stdout: all.stdout, stderr: all.stderr };
    }

    async function exec(id: string, program: ContractProgram, options: Parameters<Containerizer['exec']>[2] = {}) {
      const execution = await containers.exec(id, shell(program), options);
      const [stdout, stderr, end] = await Promise.all([
        text(execution.stdout as Readable),
        text(execution.stderr as Readable),
        execution.ended,
      ]);
      return { stdout, stderr, ...end };
    }

    async function kindsToldOf(id: string): Promise<string[]> {
      const kinds = [];
      for await (const { kind, containerId } of containers.events()) if (containerId === id) kinds.push(kind);
      return kinds;
    }

    const nothingOf = async (id: string) => {
      await expect.poll(() => containers.get(id), { timeout: 10_000 }).toBeUndefined();
    };

    async function nothingLeft(): Promise<void> {
      for (let looks = 0; looks < 100 && (await left()).length > 0; looks++) await sleep(50);
      expect(await left()).toEqual([]);
    }

    describe('a launch', () => {
      it('runs the program, and its end is told to all who wait, also long after', async () => {
        const before = Date.now();
        const launched = await launch('job', p.exitsAfter(200, 7), { labels: { team: 'a' } });
        expect(launched).toMatchObject({
          containerId: 'job',
          state: 'running',
          imageName: image,
          labels: { team: 'a' },
        });
        expect(launched.launchId).toMatch(/^[0-9a-f]{32}$/);
        expect(launched.command).toEqual(shell(p.exitsAfter(200, 7)));
        expect(launched.pid).toBeGreaterThan(1);
        const waits = [containers.wait('job'), containers.wait('job'), stranger.wait('job')];
        const [exit, ...others] = await Promise.all(waits);
        expect(exit).toMatchObject({ code: 7, reason: 'exited', oomKills: 0 });
        expect(exit?.signal).toBeUndefined();
        expect(exit?.startedAt).toBeGreaterThanOrEqual(before);
        expect(exit?.finishedAt).toBeGreaterThanOrEqual((exit?.startedAt ?? 0) + 150);
        expect(exit?.finishedAt).toBeLessThanOrEqual(Date.now());
        expect(others).toEqual([exit, exit]);
        expect(await containers.wait('job')).toEqual(exit);
        expect(await containers.get('job')).toMatchObject({ state: 'exited', exit, pid: undefined });
      });

      it('tells a program that fails at once, one that succeeds at once, and one that a signal ends', async () => {
        await launch('fails', p.exits(255));
        await containers.launch('succeeds', image);
        await launch('signalled', p.killsItself);
        expect(await containers.wait('fails')).toMatchObject({ code: 255, reason: 'exited' });
        expect(await containers.wait('succeeds')).toMatchObject({ code: 0, reason: 'exited' });
        // The first process of a container is deaf to signals from inside.
        expect((await containers.wait('signalled')).reason).toBe('exited');
        await launchReady('killed');
        await containers.kill('killed');
        const exit = await containers.wait('killed');
        expect(exit).toMatchObject({ signal: SIGKILL, reason: 'killed', oomKills: 0 });
        expect(exit.code).toBeUndefined();
      });

      it('keeps what was printed, each stream by itself and in order, whatever it ends with', async () => {
        await launch('job', p.printsToBoth);
        await containers.wait('job');
        expect(await printed('job')).toEqual({ stdout: 'out 1\nout 2\nout 3\nno end', stderr: 'err\n' });
        expect(await printed('job', { since: new Date(Date.now() + 60_000) })).toEqual({ stdout: '', stderr: '' });
      });

      it('tells the last lines of what was printed', async () => {
        await launch('job', p.printsNumbers(5000));
        await containers.wait('job');
        expect((await printed('job', { tail: 2 })).stdout).toBe('5000\nno end');
        expect((await printed('job', { tail: 0 })).stdout).toBe('');
        expect((await printed('job', { tail: 9999 })).stdout.split('\n')).toHaveLength(5001);
      });

      it('tells what is printed while it is, until the program ends', async () => {
        await launch('job', p.printsSlowly);
        const seen: [string, number][] = [];
        for await (const { bytes } of containers.logs('job', { follow: true })) seen.push([`${bytes}`, Date.now()]);
        expect(seen.map(([line]) => line)).toEqual(['1\n', '2\n', '3\n']);
        expect((seen[2]?.[1] ?? 0) - (seen[0]?.[1] ?? 0)).toBeGreaterThan(200);
        expect((await containers.get('job'))?.state).toBe('exited');
      });

      it('gives the program what was asked for', async () => {
        const options = { env: { A: 'ä b' }, user: 'alice', workingDir: '/home/alice', hostname: 'there' };
        await launch('job', p.tellsWhatItWasGiven, options);
        await containers.wait('job');
        expect((await printed('job')).stdout).toBe('1000\n1001\n/home/alice\nä b /home/alice\nthere\n');
      });

      it('runs a script of a hundred thousand characters, of which only the beginning is shown', async () => {
        await launch('job', p.isLong);
        expect(await containers.wait('job')).toMatchObject({ code: 5 });
        const { command = [] } = (await containers.get('job')) ?? {};
        expect(command.join(' ').length).toBeLessThan(1000);
        expect(command.slice(0, 2)).toEqual(['sh', '-c']);
      });

      it('lets the program read what it is given', async () => {
        const { stdin } = await launch('job', p.readsToTheEnd, { stdin: 'pipe' });
        stdin?.write('one\n');
        stdin?.end('two\n');
        expect(await containers.wait('job')).toMatchObject({ code: 0 });
        expect((await printed('job')).stdout).toBe('one\ntwo\nover\n');
      });

      it('of what cannot be started says why, and leaves nothing', async () => {
        const cases = [
          [{ command: ['/nowhere'] }, 'ERR_COMMAND_NOT_FOUND'],
          [{ command: ['nothing-in-the-path'] }, 'ERR_COMMAND_NOT_FOUND'],
          [{ command: ['/etc/passwd'] }, 'ERR_COMMAND_NOT_EXECUTABLE'],
          [{ command: ['/bin'] }, 'ERR_COMMAND_NOT_EXECUTABLE'],
          [{ command: [], entrypoint: [] }, 'ERR_NO_COMMAND'],
          [{ user: 'nobody-knows' }, 'ERR_USER_UNKNOWN'],
          [{ workingDir: '/etc/passwd' }, 'ERR_WORKING_DIR'],
          [{ mounts: [{ type: 'bind', source: '/no/such/source', target: '/data' }] }, 'ERR_MOUNT_SOURCE'],
          [{ limits: { memoryBytes: 4096 } }, 'ERR_LIMIT_INVALID'],
          [{ limits: { cpus: 4096 } }, 'ERR_LIMIT_INVALID'],
          [{ stopSignal: 'SIGNOTHING' }, 'ERR_SIGNAL_UNKNOWN'],
        ] as const satisfies readonly (readonly [LaunchOptions, string])[];
        const codes = [];
        for (const [options] of cases) {
          codes.push(
            await containers.launch('job', image, options).then(
              () => 'it was launched',
              ({ code }) => code,
            ),
          );
        }
        expect(codes).toEqual(cases.map(([, code]) => code));
        await expect(containers.launch('job', 'no/such/image:1')).rejects.toMatchObject({
          code: expect.stringMatching(/^ERR_/),
        });
        await nothingLeft();
        // And its id is free.
        await launch('job', p.exits(3));
        expect(await containers.wait('job')).toMatchObject({ code: 3 });
      });

      it('that is given up leaves nothing, whenever that is', async () => {
        for (const after of [0, 5, 20, 40, 80]) {
          const givenUp = AbortSignal.timeout(after);
          const outcome = await launch('job', p.runs, { signal: after === 0 ? AbortSignal.abort() : givenUp }).then(
            () => 'launched',
            ({ code }) => code,
          );
          if (outcome === 'launched') await containers.destroy('job', { running: 'kill' });
          else expect(outcome).toBe('ERR_ABORTED');
          await nothingLeft();
        }
      });

      it('refuses an id that is taken, whoever asks, and whether or not it runs', async () => {
        await launchReady('job');
        const taken = { code: 'ERR_CONTAINER_EXISTS' };
        await expect(launch('job', p.exits(0))).rejects.toMatchObject(taken);
        await expect(stranger.launch('job', image)).rejects.toMatchObject({
          code: expect.stringMatching(/^ERR_CONTAINER_(?:EXISTS|FOREIGN)$/),
        });
        await containers.kill('job');
        await containers.wait('job');
        await expect(launch('job', p.exits(0))).rejects.toMatchObject(taken);
        expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL });
      });

      it('of one id by two at once is done for one of them', async () => {
        const both = await Promise.allSettled([launch('job', p.runs), launch('job', p.runs)]);
        expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
        expect((await containers.list()).map(({ containerId }) => containerId)).toEqual(['job']);
        await containers.destroy('job', { running: 'kill' });
        await nothingLeft();
      });

      it('with a time limit ends at it, and tells so', async () => {
        const began = Date.now();
        await launch('job', p.isStubborn, { timeout: 400 });
        expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL, reason: 'time-limit' });
        expect(Date.now() - began).toBeGreaterThanOrEqual(400);
        expect(Date.now() - began).toBeLessThan(5000);
      });

      it('that is to be removed goes with its end, and who waits is told of it', async () => {
        await launch('job', p.exitsAfter(100, 4), { remove: true });
        expect(await containers.wait('job')).toMatchObject({ code: 4 });
        await nothingLeft();
        expect(await containers.list()).toEqual([]);
      });
    });

    it('lets all that is printed be read, though the container goes with its end, when that is asked for', async () => {
      for (let times = 0; times < 5; times++) {
        const launched = await launch('job', p.printsAndExits('all', 4), { remove: true, attach: true });
        const end = containers.wait('job');
        expect(await toldBy(launched)).toBe('all\n');
        expect(await end).toMatchObject({ code: 4 });
        await nothingLeft();
      }
    });

    describe('the end of a program', () => {
      it('comes by stop when it heeds the signal, and by force after the grace when not', async () => {
        await launchReady('polite');
        await launchReady('stubborn', p.isStubborn);
        expect(await containers.stop('polite', { grace: 8000 })).toMatchObject({ code: 0, reason: 'exited' });
        const began = Date.now();
        expect(await containers.stop('stubborn', { grace: 300 })).toMatchObject({ signal: SIGKILL, reason: 'killed' });
        expect(Date.now() - began).toBeGreaterThanOrEqual(300);
        expect(Date.now() - began).toBeLessThan(5000);
        // Once more it is what it was.
        expect(await containers.stop('polite')).toMatchObject({ code: 0 });
      });

      it('comes by the signal that the launch names, or the stop does', async () => {
        await launchReady('launch', p.heedsInterruptAndHangup, { stopSignal: 'SIGINT' });
        await launchReady('stop', p.heedsInterruptAndHangup, { stopSignal: 'SIGINT' });
        expect(await containers.stop('launch')).toMatchObject({ code: 3 });
        expect(await containers.stop('stop', { signal: 'hup' })).toMatchObject({ code: 4 });
      });

      it('is told by other signals as they are', async () => {
        await launchReady('job', p.tellsOfSignals);
        await containers.kill('job', 'USR1');
        for await (const { bytes } of containers.logs('job', { follow: true })) if (bytes.includes('got')) break;
        await expect(containers.kill('job', 'SIGNOTHING')).rejects.toMatchObject({ code: 'ERR_SIGNAL_UNKNOWN' });
        await containers.kill('job', SIGKILL);
        await containers.wait('job');
        await expect(containers.kill('job', SIGTERM)).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
      });

      it('may be waited for no longer', async () => {
        await launchReady('job');
        const wait = containers.wait('job', { signal: AbortSignal.timeout(50) });
        await expect(wait).rejects.toMatchObject({ code: 'ERR_ABORTED' });
        expect(await containers.get('job')).toMatchObject({ state: 'running' });
      });
    });

    describe('a program more', () => {
      it('runs with its own code, streams, user, directory and variables', async () => {
        await launchReady('job', p.runs, { env: { A: 'a', B: 'b' } });
        expect(await exec('job', p.printsToBothShortly)).toMatchObject({
          stdout: 'out\n',
          stderr: 'err\n',
          code: 9,
          reason: 'exited',
        });
        const options = { user: 'alice', workingDir: '/home/alice', env: { B: 'ß', C: 'c' } };
        expect(await exec('job', p.tellsWhatItWasGivenBeside, options)).toMatchObject({
          stdout: '1000\n/home/alice\na ß c /home/alice\n',
          code: 0,
        });
        const reading = await containers.exec('job', ['cat'], { stdin: 'pipe' });
        reading.stdin?.end('through it');
        expect(await text(reading.stdout as Readable)).toBe('through it');
        expect(await reading.ended).toMatchObject({ code: 0 });
      });

      endsAlone('has ended when its process has, though a child of it keeps what it prints to', async () => {
        await launchReady('job');
        const began = Date.now();
        const { stdout, code } = await exec('job', p.leavesAChild);
        expect({ stdout, code }).toEqual({ stdout: 'out\n', code: 5 });
        expect(Date.now() - began).toBeLessThan(8000);
      });

      endsAlone('that has ended by itself was not ended by a limit that comes later', async () => {
        await launchReady('job');
        const giveUp = new AbortController();
        const options = { timeout: 900, signal: giveUp.signal };
        const { stdout, ended } = await containers.exec('job', shell(p.saysDoneLeavingAChild), options);
        // What it has started holds its output open: it ends right after what it prints.
        for await (const bytes of stdout as Readable) if (String(bytes).includes('done')) break;
        expect(await ended).toEqual({ code: 0, reason: 'exited' });
        giveUp.abort();
        const again = await exec('job', p.saysDoneLeavingAChild, { timeout: 900 });
        expect(again).toMatchObject({ code: 0, reason: 'exited' });
      });

      it('ends at its time limit, and when it is given up', async () => {
        await launchReady('job');
        expect(await exec('job', p.isStubborn, { timeout: 300 })).toMatchObject({
          reason: 'time-limit',
          signal: SIGKILL,
        });
        const givenUp = await exec('job', p.isStubborn, { signal: AbortSignal.timeout(300) });
        expect(givenUp).toMatchObject({ reason: 'aborted', signal: SIGKILL });
        // Their shells have it among their words, and this one does not.
        expect((await exec('job', p.countsStubborn)).stdout).toBe('0\n');
        expect(await containers.get('job')).toMatchObject({ state: 'running' });
      });

      it('gets signals of its own, and what else runs gets none of them', async () => {
        await launchReady('job', p.heedsInterruptAndHangup);
        const execution = await containers.exec('job', shell(p.heedsInterruptAndHangup), {});
        for await (const bytes of execution.stdout as Readable) if (String(bytes).includes('ready')) break;
        await expect(execution.kill('SIGNOTHING')).rejects.toMatchObject({ code: 'ERR_SIGNAL_UNKNOWN' });
        expect(await execution.kill('hup')).toBe(true);
        expect(await execution.ended).toEqual({ code: 4, reason: 'exited' });
        expect(await execution.kill(SIGKILL)).toBe(false);
        // One that has just been asked for gets it, too.
        const next = await containers.exec('job', shell(p.isStubborn), {});
        for (const stream of [next.stdout, next.stderr]) (stream as Readable).resume();
        expect(await next.kill('SIGKILL')).toBe(true);
        expect([128 + SIGKILL, undefined]).toContain((await next.ended).code);
        expect(await containers.get('job')).toMatchObject({ state: 'running' });
      });

      it('of what cannot be run says why', async () => {
        await launchReady('job');
        const codeOf = async (command: string[], options = {}) => {
          try {
            await (await containers.exec('job', command, options)).ended;
            return 'it ran';
          } catch (error) {
            return (error as { code?: string }).code;
          }
        };
        expect(await codeOf(['/nowhere'])).toBe('ERR_COMMAND_NOT_FOUND');
        expect(await codeOf(['/etc/passwd'])).toBe('ERR_COMMAND_NOT_EXECUTABLE');
        expect(await codeOf(['true'], { user: 'nobody-knows' })).toBe('ERR_USER_UNKNOWN');
        await containers.kill('job');
        await containers.wait('job');
        expect(await codeOf(['true'])).toBe('ERR_CONTAINER_NOT_RUNNING');
      });
    });

    describe('what runs', () => {
      it('halts and goes on, and its time does not pass meanwhile', async () => {
        await launchReady('job', p.counts, { timeout: 1500 });
        await containers.pause('job');
        const length = async () => (await printed('job')).stdout.length;
        await sleep(100);
        const before = await length();
        await sleep(1600);
        expect(await length()).toBe(before);
        expect(await containers.get('job')).toMatchObject({ state: 'paused' });
        await containers.pause('job');
        await containers.resume('job');
        expect(await containers.get('job')).toMatchObject({ state: 'running' });
        const exit = await containers.wait('job');
        expect(exit.reason).toBe('time-limit');
        expect((exit.finishedAt ?? 0) - (exit.startedAt ?? 0)).toBeGreaterThan(3000);
        expect(await length()).toBeGreaterThan(before);
      });

      it('can be ended while it is halted', async () => {
        for (const [id, end] of [
          ['killed', () => containers.kill('killed')],
          ['stopped', () => containers.stop('stopped', { grace: 500 })],
          ['destroyed', () => containers.destroy('destroyed', { running: 'kill' })],
        ] as const) {
          await launchReady(id);
          await containers.pause(id);
          await end();
          if (id !== 'destroyed') {
            expect((await containers.wait(id)).reason).toMatch(/^(?:killed|exited)$/);
            await containers.destroy(id);
          }
        }
        await nothingLeft();
      });

      it('is counted, and held to limits that may change', async () => {
        await launchReady('job', p.runs, { limits: { memoryBytes: 64 * 2 ** 20, pids: 50 } });
        expect(await containers.stats('job')).toMatchObject({
          memoryLimit: 64 * 2 ** 20,
          processLimit: 50,
          oomKills: 0,
        });
        await containers.update('job', { memoryBytes: 96 * 2 ** 20, pids: 40 });
        const stats = await containers.stats('job');
        expect(stats).toMatchObject({ memoryLimit: 96 * 2 ** 20, processLimit: 40 });
        expect(stats.memory).toBeGreaterThan(0);
        expect(stats.processes).toBeGreaterThanOrEqual(1);
        expect(stats.cpuTime).toBeGreaterThan(0);
        await expect(containers.update('job', { memoryBytes: 4096 })).rejects.toMatchObject({
          code: 'ERR_LIMIT_INVALID',
        });
        await containers.kill('job');
        await containers.wait('job');
        for (const late of [containers.stats('job'), containers.update('job', { pids: 9 }), containers.pause('job')]) {
          await expect(late).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
        }
      });

      it('is ended by the kernel when it takes more memory than it may, and that is told', async () => {
        await launch('job', p.takesMuchMemory, { limits: { memoryBytes: 32 * 2 ** 20 } });
        expect(await containers.wait('job')).toMatchObject({ signal: SIGKILL, reason: 'oom', oomKills: 1 });
      });

      it('is listed for everybody, in the order of the ids, also within one another', async () => {
        await launchReady('b');
        await launch('a/b', p.exits(1));
        await launch('a', p.exits(1));
        await Promise.all([containers.wait('a'), containers.wait('a/b')]);
        for (const one of [containers, stranger]) {
          const listed = (await one.list()).map(({ containerId, state }) => [containerId, state]);
          expect(listed).toEqual([
            ['a', 'exited'],
            ['a/b', 'exited'],
            ['b', 'running'],
          ]);
        }
      });

      it('is not changed by another owner, unless that is meant', async () => {
        await launchReady('job');
        const foreign = { code: 'ERR_CONTAINER_FOREIGN' };
        const anyOwner = true;
        for (const attempt of [
          stranger.kill('job'),
          stranger.stop('job'),
          stranger.pause('job'),
          stranger.resume('job'),
          stranger.update('job', { pids: 9 }),
          stranger.exec('job', ['true']),
          stranger.start('job'),
          stranger.restart('job'),
          stranger.destroy('job', { running: 'kill' }),
        ]) {
          await expect(attempt).rejects.toMatchObject(foreign);
        }
        expect(await containers.get('job')).toMatchObject({ state: 'running' });
        await stranger.pause('job', { anyOwner });
        await stranger.resume('job', { anyOwner });
        expect(await stranger.stop('job', { anyOwner, grace: 8000 })).toMatchObject({ code: 0 });
        await expect(stranger.destroy('job')).rejects.toMatchObject(foreign);
        expect(await stranger.destroy('job', { anyOwner })).toBe(true);
        await nothingLeft();
      });
    });

    describe('what is created', () => {
      it('waits until it is started, with its time, and ends as what was launched', async () => {
        const created = await create('job', p.printsAndExitsAfter('ran', 200, 7), { timeout: 1500 });
        expect(created).toMatchObject({ containerId: 'job', state: 'created', startedAt: undefined });
        await sleep(300);
        expect(await containers.get('job')).toMatchObject({ state: 'created', launchId: created.launchId });
        expect((await printed('job')).stdout).toBe('');
        const wait = containers.wait('job');
        const started = await containers.start('job', { attach: true });
        expect(started).toMatchObject({ state: 'running', launchId: created.launchId });
        expect(await toldBy(started)).toBe('ran\n');
        const exit = await wait;
        expect(exit).toMatchObject({ code: 7, reason: 'exited', startedAt: started.startedAt });
        expect(exit.startedAt).toBeGreaterThan(created.createdAt + 200);
      });

      it('is ended at its time limit when it has run for so long, and not while it waits', async () => {
        await create('job', p.isStubborn, { timeout: 400 });
        await sleep(600);
        const { startedAt = 0 } = await containers.start('job');
        const exit = await containers.wait('job');
        expect(exit).toMatchObject({ signal: SIGKILL, reason: 'time-limit' });
        expect((exit.finishedAt ?? 0) - startedAt).toBeGreaterThan(300);
      });

      it('runs nothing that could be told anything, and goes without force', async () => {
        await create('job', p.runs);
        const code = 'ERR_CONTAINER_NOT_RUNNING';
        await expect(containers.kill('job', 'TERM')).rejects.toMatchObject({ code });
        await expect(containers.pause('job')).rejects.toMatchObject({ code });
        await expect(containers.resume('job')).rejects.toMatchObject({ code });
        await expect(containers.exec('job', ['true'])).rejects.toMatchObject({ code });
        expect(await containers.stop('job')).toMatchObject({ signal: SIGKILL, reason: 'killed', startedAt: undefined });
        await create('other', p.runs);
        expect(await containers.destroy('other')).toBe(true);
        expect(await containers.destroy('job')).toBe(true);
        await nothingLeft();
      });

      it('is refused when it could not be launched, and leaves nothing', async () => {
        const command = ['/nowhere'];
        await expect(containers.create('job', image, { command })).rejects.toMatchObject({
          code: 'ERR_COMMAND_NOT_FOUND',
        });
        await nothingLeft();
      });

      it('lives for a recovery, and can be started after it', async () => {
        await create('job', p.exits(6));
        expect(await containers.recover({ knownContainerIds: ['job'] })).toMatchObject({
          running: ['job'],
          lost: [],
          undone: [],
          swept: [],
        });
        expect(await containers.get('job')).toMatchObject({ state: 'created' });
        await containers.start('job');
        expect(await containers.wait('job')).toMatchObject({ code: 6 });
      });

      it('goes in a recovery that does not know it', async () => {
        await create('job', p.exits(6));
        expect(await containers.recover({ knownContainerIds: [] })).toMatchObject({
          running: [],
          lost: [],
          undone: [],
        });
        await nothingLeft();
      });

      it('and is to be removed goes with its end', async () => {
        await create('job', p.exits(4), { remove: true });
        const wait = containers.wait('job');
        await containers.start('job');
        expect(await wait).toMatchObject({ code: 4 });
        await nothingLeft();
      });

      it('is started once, however many start it', async () => {
        const { launchId } = await create('job', p.printsAndExitsAfter('once', 300, 0));
        const starts = [containers.start('job'), containers.start('job'), stranger.start('job', { anyOwner: true })];
        for (const started of await Promise.all(starts)) expect(started.launchId).toBe(launchId);
        await containers.wait('job');
        expect((await printed('job')).stdout).toBe('once\n');
      });
    });

    describe('what is kept ready', () => {
      it('has no fault in the state in which it is to wait, and says what is wrong in any other', async () => {
        const { ready } = containers;
        await create('held', p.runs);
        await launchReady('up');
        expect([await ready.fault('held', 'created'), await ready.fault('up', 'running')]).toEqual([
          undefined,
          undefined,
        ]);
        expect(await ready.fault('held', 'running')).toBe('it is created');
        expect(await ready.fault('up', 'paused')).toBe('it is running');
        await containers.pause('up');
        expect([await ready.fault('up', 'paused'), await ready.fault('up', 'running')]).toEqual([
          undefined,
          'it is paused',
        ]);
        // Whoever asks.
        expect(await stranger.ready.fault('held', 'created')).toBeUndefined();
        await containers.kill('up');
        await containers.wait('up');
        await containers.stop('held');
        expect([await ready.fault('held', 'created'), await ready.fault('up', 'paused')]).toEqual([
          'it is exited',
          'it is exited',
        ]);
        await containers.destroy('held');
        expect(await ready.fault('held', 'created')).toBe('it is gone');
        expect(await ready.fault('nobody', 'created')).toBe('it is gone');
      });

      it('is let go as it was created, and what it prints can be read', async () => {
        const { launchId } = await create('job', p.printsAndExitsAfter('ran', 200, 7), { labels: { team: 'a' } });
        await sleep(50);
        const before = Date.now();
        const launched = await containers.ready.letGo('job', { attach: true });
        expect(launched).toMatchObject({ containerId: 'job', launchId, state: 'running', labels: { team: 'a' } });
        expect(launched.startedAt).toBeGreaterThanOrEqual(before);
        expect(await toldBy(launched)).toBe('ran\n');
        const exit = await containers.wait('job');
        expect(exit).toMatchObject({ code: 7, reason: 'exited' });
        expect(exit.startedAt).toBeGreaterThanOrEqual(before);
        await create('quiet', p.exits(3));
        expect((await containers.ready.letGo('quiet')).output).toBeUndefined();
        expect(await containers.wait('quiet')).toMatchObject({ code: 3 });
        await expect.poll(() => kindsToldOf('quiet')).toEqual(['create', 'start', 'exit']);
      });

      it('is let go once, whoever tries, and runs once', async () => {
        await create('job', p.printsAndExitsAfter('once', 300, 0));
        const lets = [1, 2, 3].map(() => containers.ready.letGo('job'));
        const outcomes = await Promise.allSettled(lets);
        expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
        for (const outcome of outcomes) {
          if (outcome.status === 'fulfilled') continue;
          // It ran by then, or was let go in the same moment.
          expect(outcome.reason.code).toMatch(/^ERR_CONTAINER_(?:NOT_)?RUNNING$/);
        }
        await containers.wait('job');
        expect((await printed('job')).stdout).toBe('once\n');
        // What has ended is not begun again.
        await expect(containers.ready.letGo('job')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
      });

      it('is not let go by strangers, nor where it does not wait any more, or never did', async () => {
        const { ready } = containers;
        await create('job', p.exits(0));
        await expect(stranger.ready.letGo('job')).rejects.toMatchObject({ code: 'ERR_CONTAINER_FOREIGN' });
        await expect(ready.letGo('nobody')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
        await launchReady('up');
        await containers.start('job');
        for (const id of ['up', 'job']) {
          await expect(ready.letGo(id)).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
        }
        expect(await containers.get('up')).toMatchObject({ state: 'running' });
        await create('stopped', p.runs);
        await containers.stop('stopped');
        await expect(ready.letGo('stopped')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
      });
    });

    describe('a fork', () => {
      it('begins with what the other one has written, and runs what that was launched with once it is started', async () => {
        await launch('job', p.tellsWhetherItRanBefore, { env: { A: 'b' }, labels: { team: 'a' } });
        await containers.wait('job');
        const { launch: forked } = await containers.fork('job', 'copy');
        const kept = { labels: { team: 'a' }, imageName: image };
        expect(forked).toMatchObject({ ...kept, state: 'exited', exit: { reason: 'forked' }, startedAt: undefined });
        expect((await printed('copy')).stdout).toBe('');
        expect(await containers.start('copy')).toMatchObject({ ...kept, state: 'running' });
        expect(await containers.wait('copy')).toMatchObject({ code: 3 });
        expect((await printed('copy')).stdout).toBe('run again b\n');
        expect((await printed('job')).stdout).toBe('run  b\n');
        for (const id of ['job', 'copy']) await containers.destroy(id);
        await nothingLeft();
      });

      it('runs another command where one is given, and stays over a recovery', async () => {
        await launch('job', p.exits(0));
        await containers.wait('job');
        await containers.fork('job', 'copy', { command: shell(p.exits(5)) });
        expect(await containers.recover()).toMatchObject({ undone: [], removed: [], failed: [] });
        await containers.start('copy');
        expect(await containers.wait('copy')).toMatchObject({ code: 5 });
      });

      it('of what runs leaves that running, and is refused to strangers who would have it stand still', async () => {
        await launchReady('job');
        await expect(stranger.fork('job', 'copy')).rejects.toMatchObject({ code: 'ERR_CONTAINER_FOREIGN' });
        expect(await containers.get('copy')).toBeUndefined();
        const { launch: forked } = await stranger.fork('job', 'copy', { pause: false });
        expect(forked?.owner).not.toBe((await containers.get('job'))?.owner);
        expect((await stranger.fork('job', 'other', { anyOwner: true })).launch?.owner).toBe(forked?.owner);
        expect((await containers.get('job'))?.state).toBe('running');
        for (const id of ['copy', 'other']) await stranger.destroy(id);
      });

      it('goes to no id that is taken, and comes from none that is not there', async () => {
        await launch('job', p.exits(0));
        await containers.wait('job');
        await launch('other', p.exits(0));
        for (const id of ['job', 'other'])
          await expect(containers.fork('job', id)).rejects.toMatchObject({ code: 'ERR_CONTAINER_EXISTS' });
        await expect(containers.fork('nowhere', 'new')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
        expect(await containers.get('new')).toBeUndefined();
      });
    });

    describe('a start', () => {
      it('runs what has ended once more, in the root filesystem as it was left, and adds to what it has printed', async () => {
        const options = { env: { A: 'b' }, labels: { team: 'a' }, user: 'root' };
        const first = await launch('job', p.tellsWhetherItRanBefore, options);
        await containers.wait('job');
        const second = await containers.start('job', { attach: true });
        expect(second).toMatchObject({ state: 'running', labels: { team: 'a' }, imageName: image, exit: undefined });
        expect(second.launchId).not.toBe(first.launchId);
        expect(await toldBy(second)).toBe('run again b\n');
        expect(await containers.wait('job')).toMatchObject({ code: 3, startedAt: second.startedAt });
        expect((await printed('job')).stdout).toBe('run  b\nrun again b\n');
        await containers.destroy('job');
        await nothingLeft();
      });

      it('leaves what runs as it is, and refuses what is halted', async () => {
        const { launchId } = await launchReady('job');
        expect(await containers.start('job')).toMatchObject({ launchId, state: 'running' });
        await containers.pause('job');
        await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
      });

      it('that fails says why, and leaves the container as it was', async () => {
        await launch('job', p.takesItsShellAway);
        await containers.wait('job');
        await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
        expect(await containers.get('job')).toMatchObject({ state: 'exited', exit: { reason: 'start-failed' } });
        expect((await printed('job')).stdout).toBe('first\n');
        await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
        expect(await containers.recover()).toMatchObject({ undone: [], removed: [], swept: [], failed: [] });
        expect((await containers.get('job'))?.state).toBe('exited');
        expect(await containers.destroy('job')).toBe(true);
        await nothingLeft();
      });

      it('is refused to strangers, and leaves the owner who he was', async () => {
        const { owner } = await launch('job', p.exits(0));
        await containers.wait('job');
        await expect(stranger.start('job')).rejects.toMatchObject({ code: 'ERR_CONTAINER_FOREIGN' });
        expect(await stranger.start('job', { anyOwner: true })).toMatchObject({ owner });
      });

      it('comes after a stop by restart, unless the container goes with its end', async () => {
        const first = await launchReady('job');
        const second = await containers.restart('job');
        expect(second.launchId).not.toBe(first.launchId);
        expect((await containers.get('job'))?.state).toBe('running');
        await containers.stop('job');
        expect((await containers.restart('job')).state).toBe('running');
        await launchReady('short', p.runs, { remove: true });
        await expect(containers.restart('short')).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
        expect((await containers.get('short'))?.state).toBe('running');
      });
    });

    describe('a destroy', () => {
      it('takes away what has ended, refuses what runs, and ends that when it is told to', async () => {
        await launchReady('runs', p.isStubborn);
        await launch('ended', p.makesAFile(1));
        await containers.wait('ended');
        expect(await containers.destroy('ended')).toBe(true);
        await expect(containers.destroy('runs')).rejects.toMatchObject({ code: 'ERR_CONTAINER_RUNNING' });
        expect(await containers.get('runs')).toMatchObject({ state: 'running' });
        const wait = containers.wait('runs');
        expect(await containers.destroy('runs', { running: 'kill' })).toBe(true);
        expect(await wait).toMatchObject({ signal: SIGKILL, reason: 'killed' });
        expect(await containers.destroy('runs')).toBe(false);
        await nothingLeft();
      });

      it('ends what is being made just then, as soon as it is there', async () => {
        for (const begin of [create, launch]) {
          const begun = begin('job', p.isStubborn).catch(({ code }) => code);
          while ((await containers.get('job')) === undefined) await sleep(1);
          expect(await containers.destroy('job', { running: 'kill' })).toBe(true);
          expect(await begun).toEqual(expect.toSatisfy((made) => made === 'ERR_START_FAILED' || made.launchId));
          await nothingLeft();
        }
      });

      it('leaves an id that can be used again, with nothing of the one before', async () => {
        await launch('job', p.makesAFile(0));
        await containers.wait('job');
        await containers.destroy('job');
        await launch('job', p.looksForTheFile);
        await containers.wait('job');
        expect((await printed('job')).stdout).toBe('second\n');
      });
    });

    describe('what happens', () => {
      const kindsOf = async (events: AsyncIterable<ContainerEvent>) => {
        const kinds: string[] = [];
        for await (const { kind } of events) kinds.push(kind);
        return kinds;
      };

      it('is told as it comes, to other owners too, until the container is gone', async () => {
        const told: ContainerEvent[] = [];
        const events = stranger.events({ follow: true });
        await launchReady('job', p.isStubborn, { env: { TOKEN: 'hidden' }, labels: { job: '17' } });
        await exec('job', p.hasASecretAmongItsWords);
        await containers.pause('job');
        await containers.resume('job');
        await containers.update('job', { pids: 99 });
        await containers.kill('job', 'SIGCHLD');
        await containers.stop('job', { grace: 1 });
        await containers.destroy('job');
        for await (const event of events) if (told.push(event) && event.kind === 'destroy') break;
        expect(told.map(({ kind }) => kind)).toEqual([
          ...['create', 'start', 'exec-start', 'exec-end', 'pause', 'resume', 'update', 'kill', 'stop', 'kill', 'exit'],
          'destroy',
        ]);
        const common = { containerId: 'job', imageName: image, labels: { job: '17' } };
        for (const event of told) expect(event).toMatchObject(common);
        expect(new Set(told.map(({ launchId }) => launchId)).size).toBe(1);
        const details = (kind: string) => told.find((event) => event.kind === kind)?.details;
        expect(details('exec-end')).toEqual({ exec: details('exec-start')?.['exec'], code: 3, reason: 'exited' });
        expect(details('update')).toEqual({ pids: 99 });
        expect(details('exit')).toMatchObject({ signal: SIGKILL, reason: 'killed' });
        expect(JSON.stringify(told)).not.toContain('hidden');
        expect(await kindsOf(containers.events())).toEqual(told.map(({ kind }) => kind));
        expect(await kindsOf(containers.events({ until: new Date(0) }))).toEqual([]);
        // Times of events are in milliseconds.
        await sleep(2);
        expect(await kindsOf(containers.events({ since: new Date(), follow: true, until: new Date() }))).toEqual([]);
      });

      it('includes what did not come to a start, what ended for want of memory, and what goes with its end', async () => {
        await launch('none', p.exits(0), { entrypoint: ['/nowhere'] }).catch(() => undefined);
        await launch('big', p.takesMuchMemory, { limits: { memoryBytes: 32 * 2 ** 20 } });
        await containers.wait('big');
        expect(await kindsOf(containers.events())).toEqual([
          ...['create', 'start-failed', 'destroy', 'create', 'start', 'oom', 'exit'],
        ]);
        // Times of events are in milliseconds.
        await sleep(2);
        const since = new Date();
        await launch('brief', p.exits(0), { remove: true });
        await containers.wait('brief');
        await nothingOf('brief');
        expect(await kindsOf(containers.events({ since }))).toEqual(['create', 'start', 'exit', 'destroy']);
      });

      it('is followed until enough has been told', async () => {
        const enough = new AbortController();
        const kinds = kindsOf(containers.events({ follow: true, signal: enough.signal }));
        enough.abort();
        await expect(kinds).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      });
    });

    it('tells which processes run, those of a program more too, and by which name and number the container has them', async () => {
      await launchReady('job', p.runsBesideAChild, { user: 'alice' });
      const more = await containers.exec('job', shell(p.isReadyAndReads), { stdin: 'pipe', user: '0' });
      for await (const _ of more.stdout) break;
      const processes = await containers.processes('job');
      const { pid } = (await containers.get('job')) ?? {};
      expect(processes[0]).toMatchObject({ pid, pidInside: 1, user: 'alice', uid: 1000 });
      expect(processes[0]?.command[0]).toBe('sh');
      const sleeping = processes.find(({ command }) => command.join(' ') === 'sleep 77');
      expect(sleeping).toMatchObject({ user: 'alice', state: 'S', name: 'sleep' });
      expect(processes.find(({ uid }) => uid === 0)).toMatchObject({
        user: 'root',
        command: shell(p.isReadyAndReads),
      });
      for (const { elapsed } of processes) expect(elapsed).toBeLessThan(60_000);
      await containers.stop('job');
      await expect(containers.processes('job')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
    });

    it('lets nobody sit down where there is no terminal', async () => {
      await launchReady('job');
      expect(await containers.get('job')).toMatchObject({ hasTerminal: false });
      await expect(containers.attach('job')).rejects.toMatchObject({
        code: 'ERR_NO_TERMINAL',
        details: { containerId: 'job' },
      });
    });

    it('knows no container that has not been launched', async () => {
      const unknown = { code: 'ERR_CONTAINER_NOT_FOUND' };
      expect(await containers.get('nobody')).toBeUndefined();
      expect(await containers.destroy('nobody')).toBe(false);
      for (const attempt of [
        () => containers.wait('nobody'),
        () => containers.exec('nobody', ['true']),
        () => containers.attach('nobody'),
        () => containers.stats('nobody'),
        () => containers.processes('nobody'),
        () => containers.kill('nobody'),
        () => containers.stop('nobody'),
        () => containers.pause('nobody'),
        () => containers.resume('nobody'),
        () => containers.start('nobody'),
        () => containers.restart('nobody'),
        () => containers.update('nobody', { pids: 9 }),
        () => printed('nobody'),
      ]) {
        await expect(attempt()).rejects.toMatchObject(unknown);
      }
    });

    it('finds nothing to do in a recovery where all is well, and what runs goes on', async () => {
      await launchReady('runs');
      await launch('ended', p.exits(6));
      await containers.wait('ended');
      const report = await containers.recover();
      expect(report).toMatchObject({ running: ['runs'], lost: [], undone: [], removed: [], swept: [] });
      expect(await containers.wait('ended')).toMatchObject({ code: 6 });
      expect(await containers.stop('runs', { grace: 8000 })).toMatchObject({ code: 0 });
    });
  });
}
