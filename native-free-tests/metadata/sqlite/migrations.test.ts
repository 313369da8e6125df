import { describe, expect, it } from 'vitest';
import { MIGRATIONS } from '#src/metadata/sqlite/migrations.js';
import { SECTION_MIGRATIONS } from '#src/metadata/sqlite/schema.js';

describe('the migrations of the sections', () => {
  it('each come in the order of their versions, no version twice', () => {
    for (const steps of SECTION_MIGRATIONS) {
      const versions = steps.map(({ version }) => version);
      expect(versions).toEqual([...new Set(versions)].sort((one, other) => one - other));
    }
  });

  it('make up those of the records: by version first, and of one version in the order of the sections', () => {
    for (const { version, sql } of MIGRATIONS) {
      const steps = SECTION_MIGRATIONS.flatMap((section) => section.filter((step) => step.version === version));
      expect(sql).toBe(steps.map((step) => step.sql).join(''));
    }
    const length = (steps: readonly { readonly sql: string }[]) => steps.reduce((sum, { sql }) => sum + sql.length, 0);
    expect(length(MIGRATIONS)).toBe(length(SECTION_MIGRATIONS.flat()));
  });
});
