import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { ProvisionerEmitter } from '#src/events.js';

const EVENTS = import.meta.resolve('#src/events.js');
const warning = { code: 'LOCK_WAIT', message: 'something', details: {} } as const;

/** What a process with a provisioner's events says, that has been told what its own faults are. */
function said(body: string): string[] {
  const code = `
    import { ProvisionerEmitter } from '${EVENTS}';
    const events = new ProvisionerEmitter();
    const warn = () => events.emit('warning', { code: 'LOCK_WAIT', message: 'a', details: {} });
    process.on('uncaughtException', (error, origin) => console.log(origin + ': ' + error.message));
    ${body}`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }).trim().split('\n');
}

describe('a listener', () => {
  it('that throws stops neither the work nor the other listeners, and its author is told', () => {
    expect(
      said(`
        events.on('warning', () => { throw new Error('first'); });
        events.once('warning', () => { throw new Error('once'); });
        events.on('warning', () => console.log('the last one is told'));
        console.log(warn(), 'the work goes on');
        warn();`),
    ).toEqual([
      'the last one is told',
      'true the work goes on',
      'the last one is told',
      'uncaughtException: first',
      'uncaughtException: once',
      'uncaughtException: first',
    ]);
  });

  it('that rejects later stops nothing, and its author is told', () => {
    expect(
      said(`events.on('warning', async () => { throw new Error('later'); }); warn(); console.log('the work goes on');`),
    ).toEqual(['the work goes on', 'unhandledRejection: later']);
  });

  it('of `newListener` is guarded as well', () => {
    expect(
      said(
        `events.on('newListener', () => { throw new Error('new'); }); events.on('warning', () => {}); console.log('on');`,
      ),
    ).toEqual(['on', 'uncaughtException: new']);
  });
});

describe('events', () => {
  it('come as with any emitter: in order, once for `once`, and not after `off`', () => {
    const events = new ProvisionerEmitter();
    const told: string[] = [];
    const one = () => void told.push('one');
    events.on('warning', one);
    events.once('warning', ({ code }) => void told.push(`once ${code}`));
    events.prependListener('warning', () => void told.push('zero'));
    expect([events.emit('warning', warning), events.emit('warning', warning)]).toEqual([true, true]);
    events.off('warning', one);
    events.emit('warning', warning);
    expect(told).toEqual(['zero', 'one', 'once LOCK_WAIT', 'zero', 'one', 'zero']);
    expect(events.emit('checkProgress', { layer: 'sha256:0', done: 1, total: 1 })).toBe(false);
  });
});
