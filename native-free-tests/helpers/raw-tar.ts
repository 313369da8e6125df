/** The writer of archives that no proper tool makes: the one that the fuzzer uses. */
export * from '../../fuzz/raw-tar.mjs';
