import { describe, expect, it } from 'vitest';
import { type HookFailure, hookError } from '#src/containerizer/runtime/hook-complaint.js';

const failure = (complaint: string, more: Partial<HookFailure> = {}): HookFailure => ({
  containerId: 'job',
  complaint,
  programs: ['/opt/hook'],
  devices: ['a.b/c=d'],
  said: '',
  ...more,
});
const told = (complaint: string, more?: Partial<HookFailure>) =>
  hookError(failure(complaint, more))?.message.replace(
    'container job could not be started: a hook of a.b/c=d failed: ',
    '',
  );

describe('a hook that failed', () => {
  it.each<[string, string, Partial<HookFailure>, string]>([
    ['crun 1.8', 'error executing hook `/opt/hook` (exit code: 3)', {}, '/opt/hook ended with status 3'],
    [
      'crun 1.8',
      'error executing hook `/opt/hook` (exit code: 3)',
      { said: 'a\nno card\n' },
      '/opt/hook ended with status 3, and said: no card',
    ],
    ['crun 1.8', 'timeout expired for `/opt/hook`', {}, '/opt/hook took longer than it may'],
    ['crun 1.8', 'error executing hook `/opt/hook` (exit code: -1)', {}, '/opt/hook took longer than it may'],
    [
      'runc 1.1',
      'runc run failed: unable to start container process: error during container init: error running hook #0: error running hook: exit status 3, stdout: x\\n, stderr: a\\nno card\\n',
      {},
      '/opt/hook ended with status 3, and said: no card',
    ],
    [
      'runc 1.1',
      'error running hook #1: error running hook: exit status 1, stdout: , stderr: ',
      { programs: ['/opt/one', '/opt/two'] },
      'one of /opt/one, /opt/two ended with status 1',
    ],
    [
      'runc 1.1',
      'error running hook #0: hook ran past specified timeout of 1.0s',
      {},
      '/opt/hook took longer than it may',
    ],
    [
      'runc 1.1',
      'error running hook #0: fork/exec /opt/hook: exec format error',
      {},
      '/opt/hook failed: fork/exec /opt/hook: exec format error',
    ],
    [
      'runc 1.2',
      'error running createRuntime hook #0: exit status 2, stdout: , stderr: no card',
      {},
      '/opt/hook ended with status 2, and said: no card',
    ],
  ])('is told by its name and what it said, in the words of %s: %s', (_, complaint, more, message) => {
    expect(told(complaint, more)).toBe(message);
    expect(hookError(failure(complaint, more))?.code).toBe('ERR_START_FAILED');
  });

  it('is none where something else went wrong, or there is no hook', () => {
    expect(hookError(failure('open executable: No such file or directory'))).toBeUndefined();
    expect(hookError(failure('error executing hook `/opt/hook` (exit code: 3)', { programs: [] }))).toBeUndefined();
  });
});
