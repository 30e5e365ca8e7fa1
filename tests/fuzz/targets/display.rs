#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claudecluster_fuzz::display(data));
