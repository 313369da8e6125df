import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runtimeComplaint, saysNotRunning, startError } from '#src/containerizer/runtime/runtime-complaint.js';

const codeOf = (complaint: string) => startError(complaint, ['program'], 'job', 1).code;

describe('what a runtime complains of', () => {
  it.each([
    ['crun 1.8', 'executable file `program` not found in $PATH: No such file or directory', 'ERR_COMMAND_NOT_FOUND'],
    ['crun 1.8', 'open executable: No such file or directory', 'ERR_COMMAND_NOT_FOUND'],
    ['crun 1.8', 'open executable: Permission denied', 'ERR_COMMAND_NOT_EXECUTABLE'],
    ['crun 1.8, of a directory', 'open executable: Operation not permitted', 'ERR_COMMAND_NOT_EXECUTABLE'],
    ['runc 1.1', 'exec: "program": executable file not found in $PATH', 'ERR_COMMAND_NOT_FOUND'],
    ['runc 1.1', 'exec: "/program": stat /program: no such file or directory', 'ERR_COMMAND_NOT_FOUND'],
    ['runc 1.1', 'exec: "/program": permission denied', 'ERR_COMMAND_NOT_EXECUTABLE'],
    ['any', 'mount `proc` to `proc`: Operation not permitted', 'ERR_START_FAILED'],
    ['any, without a word', '', 'ERR_START_FAILED'],
  ])('is understood, in the words of %s: %s', (_, complaint, code) => {
    expect(codeOf(complaint)).toBe(code);
  });

  it.each([
    ['crun 1.8', 'the container `x` is not running', true],
    ['crun 1.8', 'error opening file `/run/provisioner/k/crun/x/status`: No such file or directory', true],
    ['runc 1.1', 'container does not exist', true],
    ['runc 1.1', 'exec: "/status": stat /status: no such file or directory', false],
    ['crun 1.8', 'open executable: No such file or directory', false],
  ])('of a program more tells whether its container has ended, in the words of %s: %s', (_, complaint, ended) => {
    expect(saysNotRunning(complaint)).toBe(ended);
  });
});

describe('the log of a runtime', () => {
  const line = (msg: string, level = 'error') => JSON.stringify({ msg, level, time: '2026-01-01T00:00:00Z' });

  it.each([
    ['the last that counts', [line('first'), line('last'), line('by the way', 'info')], 'last'],
    ['one that is not empty', [line('said'), line('')], 'said'],
    ['what stands in another one', [line(line('inside'))], 'inside'],
    ['a text like one', [line('{"msg": 1}')], '{"msg": 1}'],
    ['nothing, where there is none', ['no JSON', 'null', '3', ''], ''],
  ])('has the complaint in it: %s', (_, lines, complaint) => {
    const place = mkdtempSync(join(tmpdir(), 'log-'));
    writeFileSync(join(place, 'log'), lines.join('\n'));
    expect(runtimeComplaint(join(place, 'log'))).toBe(complaint);
    rmSync(place, { recursive: true });
  });
});

describe('what could not be started', () => {
  it('is the container, or the program that was to be run in one that goes on', () => {
    const complaint = 'exec: Argument list too long';
    expect(startError(complaint, ['check'], 'job', 1).message).toBe(`container job could not be started: ${complaint}`);
    expect(startError(complaint, ['check'], 'job', 1, true).message).toBe(
      `container job: "check" could not be started: ${complaint}`,
    );
  });
});
