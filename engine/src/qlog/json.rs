//! The JSON of events: numbers, hexadecimal and strings.

use std::fmt::Write;

/// Append a string with its quotes, escaped (RFC 8259, 7).
pub(super) fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                json.push('\\');
                json.push(character);
            }
            '\0'..='\x1f' => push(json, format_args!("\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json.push('"');
}

/// Append bytes as a string of hexadecimal digits.
pub(super) fn push_hex(json: &mut String, bytes: &[u8]) {
    json.push('"');
    for byte in bytes {
        push(json, format_args!("{byte:02x}"));
    }
    json.push('"');
}

/// Append what `format_args!` returns. A string takes it all, so there is no error.
pub(super) fn push(json: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = json.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut json = String::new();
        push_string(&mut json, "a\"b\\c\n\x1eé");
        assert_eq!(json, "\"a\\\"b\\\\c\\u000a\\u001eé\"");
    }

    #[test]
    fn bytes_have_two_digits() {
        let mut json = String::new();
        push_hex(&mut json, &[0, 0xab]);
        assert_eq!(json, "\"00ab\"");
    }
}
