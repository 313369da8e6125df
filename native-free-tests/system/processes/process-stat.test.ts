import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { processStat } from '#src/system/processes/process-stat.js';

it('tells a process that is a copy of its parent from one that has executed a program', async () => {
  const shell = spawn('/bin/sh', ['-c', '(read x) <&3 & echo $!; read x'], {
    stdio: ['pipe', 'pipe', 'ignore', 'pipe'],
  });
  try {
    const [text] = await once(shell.stdout as Readable, 'data');
    expect(processStat(Number(text))?.isBeforeExecution).toBe(true);
    expect(processStat(Number(shell.pid))?.isBeforeExecution).toBe(false);
    expect(processStat(Number(text))?.parent).toBe(shell.pid);
  } finally {
    shell.stdin?.end();
    shell.stdio[3]?.destroy();
    await once(shell, 'close');
  }
});
