import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LifeLocks } from '#src/system/locks/life-locks.js';
import { Liveness } from '#src/system/locks/liveness.js';
import { lifeOf } from '#src/system/locks/process-identity.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

/** What every kind of lock promises of those who live and those who have died. @param locks new ones, as each process makes them */
export function describeLiveness(kind: string, locks: () => LifeLocks): void {
  const alive = () => join(temporaryDirectory(), 'alive');

  describe(`who is alive, by ${kind}`, () => {
    it('is who has an identity, until it is closed', () => {
      const directory = alive();
      const shared = locks();
      const [one, other] = [Liveness.in(directory, shared), Liveness.in(directory, shared)];
      const identities = [one.identity, other.identity];
      expect(new Set(identities.map(lifeOf)).size).toBe(2);
      for (const identity of identities)
        expect([one, other].map(({ isAlive }) => isAlive(identity))).toEqual([true, true]);
      one.close();
      one.close();
      expect(identities.map(other.isAlive)).toEqual([false, true]);
      expect(readdirSync(directory)).toEqual([lifeOf(other.identity)]);
      other.close();
      expect(readdirSync(directory)).toEqual([]);
    });

    it('has lives of its own for pieces of work, each of which ends when that is over', async () => {
      const [directory, shared] = [alive(), locks()];
      const liveness = Liveness.in(directory, shared);
      const observer = Liveness.in(directory, shared);
      const another = liveness.another();
      expect(liveness.identity).toBe(liveness.identity);
      const identities = [liveness.identity, another.identity];
      expect(new Set(identities).size).toBe(2);
      expect(identities.map(observer.isAlive)).toEqual([true, true]);
      another.close();
      expect(identities.map(observer.isAlive)).toEqual([true, false]);
      // Who asks late is told a name that nobody lives by.
      expect(another.identity).toBe(identities[1]);
      let during = '';
      await expect(
        liveness.during(async (own) => {
          during = own.identity;
          expect([liveness, observer].map(({ isAlive }) => isAlive(during))).toEqual([true, true]);
          throw new Error('it went wrong');
        }),
      ).rejects.toThrow('it went wrong');
      expect(observer.isAlive(during)).toBe(false);
      expect(readdirSync(directory)).toEqual([lifeOf(liveness.identity)]);
      liveness.close();
      expect(observer.isAlive(liveness.identity)).toBe(false);
      const never = liveness.another();
      never.close();
      expect(observer.isAlive(never.identity)).toBe(false);
      expect(readdirSync(directory)).toEqual([]);
    });

    it('leaves no trace of those who only ask', () => {
      const directory = alive();
      const reader = Liveness.in(directory, locks());
      expect(reader.isAlive(`${'0'.repeat(32)}.1`)).toBe(false);
      expect(reader.dead()).toEqual([]);
      reader.tidy();
      reader.close();
      expect(existsSync(directory)).toBe(false);
    });

    it('is not whose file nobody holds; tidying removes that one and no other', () => {
      const directory = alive();
      const liveness = Liveness.in(directory, locks());
      const own = lifeOf(liveness.identity) as string;
      const left = 'd'.repeat(32);
      writeFileSync(join(directory, left), '');
      writeFileSync(join(directory, 'notes'), '');
      expect(liveness.isAlive(`${left}.${process.pid}`)).toBe(false);
      expect(liveness.dead()).toEqual([left]);
      liveness.tidy();
      expect(readdirSync(directory).sort()).toEqual([own, 'notes'].sort());
      expect(liveness.isAlive(liveness.identity)).toBe(true);
      liveness.close();
    });

    it.each(['', 'x', '0::', '../../lock.1', `${'a'.repeat(31)}.1`, `${'a'.repeat(32)}`])(
      'is nobody whom the broken record %j names',
      (identity) => {
        const directory = alive();
        mkdirSync(directory);
        expect(Liveness.in(directory, locks()).isAlive(identity)).toBe(false);
      },
    );
  });
}
