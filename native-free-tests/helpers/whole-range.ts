/**
 * Whether tests go over the whole range of what they are about, and not over the part of it that shows that it works: `PROVISIONER_TEST_WHOLE=1`, as
 * `npm run survive -- --tests` sets it.
 */
export const WHOLE_RANGE = process.env['PROVISIONER_TEST_WHOLE'] === '1';
