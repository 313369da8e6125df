import { describe, expect, it } from 'vitest';
import { placeIn, type SourceFile, scan, sourceFiles, unitOf } from './source-files.js';

/** What only a program may do: print, end the process, and change what belongs to the whole of it. To ask is free, as with `kill(pid, 0)`; not for the umask, which Node asks for by setting it. */
const PROGRAM_ONLY =
  /\bconsole\b|\bprocess\s*(?:\?\.|\.)\s*(?:exit|exitCode|abort|stdout|stderr|stdin|chdir|on|once|addListener|setuid|setgid|title)\b|\bprocess\.umask\b|\bprocess\.kill\((?![^()]*, 0\))|\bglobalThis\s*\.\s*\w+\s*=[^=]/g;

/**
 * The exceptions: a process that a test wants dead at a certain step, what guards which is proven in `crash-points.test.ts`; and a signal to a process that somebody holds
 * by its start time, and that is neither this one nor a group of them, which `describeProcesses` proves.
 */
const MAY_KILL = [
  { path: 'src/base/crash-points.ts', allowed: "process.kill(process.pid, 'SIGKILL')" },
  { path: 'src/system/processes/native-free/native-free-processes.ts', allowed: 'process.kill(to, signal)' },
] as const;

/** True for the one place where an exception stands; a second one is none. */
function isException({ path, text }: SourceFile, index: number): boolean {
  return MAY_KILL.some(
    (one) => one.path === path && text.startsWith(one.allowed, index) && text.indexOf(one.allowed) === index,
  );
}

function violations(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => unitOf(path) !== 'cli')
    .flatMap((file) =>
      [...scan(file.text).code.matchAll(PROGRAM_ONLY)]
        .filter((match) => !isException(file, match.index))
        .map((match) => `${placeIn(file, match.index)}: ${match[0]}`),
    );
}

describe('the library', () => {
  it('never prints, never ends the process, and changes nothing that belongs to the whole of it', () => {
    expect(violations(sourceFiles())).toEqual([]);
  });
});

describe('the rule about what only a program may do', () => {
  it.each([
    [`console.log('x')`],
    [`process.exit(1)`],
    [`process.exitCode = 1`],
    [`process.stderr.write('x')`],
    [`process.on('SIGINT', stop)`],
    [`process.umask(0)`],
    [`readonly #umask = process.umask();`],
    [`process.kill(pid, 'SIGTERM')`],
    [`\`\${console.log(1)}\``],
    [`process.kill(process.pid, 'SIGKILL')`],
  ])('finds %s', (text) => {
    expect(violations([{ path: 'src/pulls/a.ts', text }])).toHaveLength(1);
  });

  it.each([
    [`process.kill(process.pid, 'SIGTERM')`],
    [`process.kill(pid, 'SIGKILL')`],
    [`process.exit(1)`],
    [`process.kill(process.pid, 'SIGKILL'); process.kill(process.pid, 'SIGKILL')`],
  ])('finds in the file that may kill its own process, once, %s', (text) => {
    expect(violations([{ path: 'src/base/crash-points.ts', text }])).toHaveLength(1);
  });

  it.each([
    ['src/cli/main.ts', `process.exitCode = 1`],
    ['src/pulls/a.ts', `// console.log('x')`],
    ['src/pulls/a.ts', `hint: 'see the console'`],
    ['src/pulls/a.ts', `process.getuid?.() + process.geteuid?.()`],
    ['src/pulls/a.ts', `process.kill(pid, 0)`],
    ['src/base/crash-points.ts', `process.kill(process.pid, 'SIGKILL')`],
    ['src/system/processes/native-free/native-free-processes.ts', `process.kill(to, signal)`],
  ])('allows, in %s, %s', (path, text) => {
    expect(violations([{ path, text }])).toEqual([]);
  });
});
