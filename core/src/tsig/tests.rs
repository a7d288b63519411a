use aws_lc_rs::hmac;

use super::*;

/// A stand-in for a MAC that shows what it covers; real ones are made and compared by the root package, and by BIND's and Knot's clients against it.
fn mac(covered: &[u8]) -> Vec<u8> {
    let mut mac = vec![0_u8; 32];
    for (at, byte) in covered.iter().enumerate() {
        let place = &mut mac[at % 32];
        *place = place.rotate_left(3) ^ byte.wrapping_add(u8::try_from(at % 251).expect("small"));
    }
    mac
}

/// An update of `example.org` without content, called 0x1234.
fn bare() -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x07example\x03org\0\0\x06\0\x01");
    message
}

/// The TSIG record of `Key.Example.org`, its end a pointer to the zone.
fn record(time: u64, fudge: u16, mac: &[u8], original_id: u16) -> Vec<u8> {
    let mut data = b"\x0bHMAC-sha256\0".to_vec();
    data.extend(&time.to_be_bytes()[2..]);
    data.extend(fudge.to_be_bytes());
    counted(&mut data, mac);
    data.extend(original_id.to_be_bytes());
    data.extend([0; 4]);
    let mut record = b"\x03Key\xc0\x0c\0\xfa\0\xff\0\0\0\0".to_vec();
    counted(&mut record, &data);
    record
}

fn with(record: &[u8]) -> Vec<u8> {
    let mut message = [bare(), record.to_vec()].concat();
    message[11] = 1;
    message
}

/// What RFC 8945 §4.3 has covered, written out.
fn covered(time: u64, fudge: u16) -> Vec<u8> {
    let mut covered = bare();
    covered.extend(b"\x03key\x07example\x03org\0\0\xff\0\0\0\0\x0bhmac-sha256\0");
    covered.extend(&time.to_be_bytes()[2..]);
    covered.extend(fudge.to_be_bytes());
    covered.extend([0; 4]);
    covered
}

fn signed(time: u64) -> Vec<u8> {
    with(&record(time, 300, &mac(&covered(time, 300)), 0x1234))
}

/// Verifies with the one key that there is.
fn verified(message: &[u8], now: u64) -> Result<(), Fault> {
    let signature = Signature::of(message).expect("sound").expect("signed");
    signature.verify(message, now, |key, algorithm, covered, said| {
        let known = key.as_str() == "key.example.org" && algorithm == Algorithm::HmacSha256;
        known.then(|| mac(covered).starts_with(said))
    })
}

#[test]
fn a_signature_covers_the_message_its_key_and_its_time() {
    let good = signed(1_000_000);
    assert_eq!(verified(&good, 1_000_000), Ok(()));
    // A forwarder may have given it an ID of its own.
    let forwarded = [&[9, 9][..], &good[2..]].concat();
    assert_eq!(verified(&forwarded, 1_000_000), Ok(()));
    for at in (2..good.len()).filter(|at| *at != 11) {
        let mut other = good.clone();
        other[at] ^= 0x01;
        let taken = Signature::of(&other).ok().flatten().map(|_| verified(&other, 1_000_000));
        assert_ne!(taken, Some(Ok(())), "byte {at}");
    }
}

#[test]
fn the_order_of_faults_is_the_rfcs() {
    let time = 1_000_000;
    let faulty = |record: &[u8], now| verified(&with(record), now);
    let whole = mac(&covered(time, 300));
    assert_eq!(faulty(&record(time, 300, &whole, 0x1234), time + 300), Ok(()));
    assert_eq!(faulty(&record(time, 300, &whole, 0x1234), time + 301), Err(Fault::BadTime));
    assert_eq!(faulty(&record(time, 300, &whole, 0x1234), time - 301), Err(Fault::BadTime));
    let long = mac(&covered(time, 5000));
    assert_eq!(faulty(&record(time, 5000, &long, 0x1234), time + 301), Err(Fault::BadTime), "no longer than we say");
    let short = mac(&covered(time, 10));
    assert_eq!(faulty(&record(time, 10, &short, 0x1234), time + 11), Err(Fault::BadTime), "and no longer than the client says");
    assert_eq!(faulty(&record(time, 300, &whole[..16], 0x1234), time), Err(Fault::BadTrunc));
    assert_eq!(faulty(&record(time, 300, &whole[..31], 0x1234), time + 301), Err(Fault::BadTime), "time comes first");
    for length in [0, 1, 9, 10, 15] {
        assert_eq!(faulty(&record(time, 300, &whole[..length], 0x1234), time), Err(Fault::Form), "{length}");
    }
    assert_eq!(faulty(&record(time, 300, &[&whole[..], b"x"].concat(), 0x1234), time), Err(Fault::Form));
    assert_eq!(faulty(&record(time, 300, &[7; 32], 0x1234), time + 301), Err(Fault::BadSig), "before the time is looked at");
    let mut stranger = record(time, 300, &whole, 0x1234);
    stranger[1] = b'x';
    assert_eq!(faulty(&stranger, time), Err(Fault::BadKey));
    let mut md5 = record(time, 300, &whole, 0x1234);
    md5[17] = b'x';
    assert_eq!(faulty(&md5, time), Err(Fault::BadKey));
}

#[test]
fn a_record_that_is_not_last_or_not_whole_is_none() {
    let good = record(5, 300, &[7; 32], 0x1234);
    assert_eq!(Signature::of(&bare()), Ok(None));
    for cut in bare().len()..with(&good).len() {
        assert_eq!(Signature::of(&with(&good)[..cut]), Err(Malformed), "{cut}");
    }
    let twice = {
        let mut twice = with(&[good.clone(), good.clone()].concat());
        twice[11] = 2;
        twice
    };
    assert_eq!(Signature::of(&twice), Err(Malformed));
    let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
    let mut before = with(&[&opt[..], &good].concat());
    before[11] = 2;
    assert!(Signature::of(&before).expect("sound").is_some());
    let mut after = with(&[&good, &opt[..]].concat());
    after[11] = 2;
    assert_eq!(Signature::of(&after), Err(Malformed));
    let mut elsewhere = with(&good);
    (elsewhere[11], elsewhere[9]) = (0, 1);
    assert_eq!(Signature::of(&elsewhere), Err(Malformed), "among the updates");
    assert_eq!(Signature::of(&with(&[&good[..], b"x"].concat())), Err(Malformed), "a byte too many");
    for (place, value) in [(9, 1), (13, 1), (16, 0xc0)] {
        let mut other = good.clone();
        other[place] = value;
        assert_eq!(Signature::of(&with(&other)), Err(Malformed), "class, TTL, or a compressed algorithm: {place}");
    }
}

/// Reads what an answer's TSIG record says: time, fudge, MAC, original ID, error, other.
fn said(answer: &[u8]) -> Signature {
    assert_eq!(answer[11], 1);
    Signature::of(answer).expect("sound").expect("signed")
}

#[test]
fn an_answer_covers_the_mac_of_the_request() {
    let request = signed(1_000_000);
    let signature = Signature::of(&request).expect("sound").expect("signed");
    let blank = b"\x12\x34\xa8\0\0\0\0\0\0\0\0\0".to_vec();
    let mut answer = blank.clone();
    let mut seen = Vec::new();
    signature.answer(&mut answer, 1_000_007, None, |covered| {
        seen = covered.to_vec();
        mac(covered)
    });
    let mut expected = Vec::new();
    counted(&mut expected, &mac(&covered(1_000_000, 300)));
    expected.extend(&blank);
    expected.extend(&covered(1_000_007, 300)[bare().len()..]);
    assert_eq!(seen, expected);
    let record = said(&answer);
    assert_eq!((record.time, record.fudge, record.mac, record.error), (1_000_007, 300, mac(&expected), 0));
    assert!(answer.len() - blank.len() <= signature.answer_size());
}

#[test]
fn a_fault_is_said_signed_only_where_the_key_is_the_senders() {
    let signature = Signature::of(&signed(1_000_000)).expect("sound").expect("signed");
    for (fault, code) in [(Fault::BadKey, 17), (Fault::BadSig, 16)] {
        let mut answer = vec![0; HEADER];
        signature.answer(&mut answer, 2_000_000, Some(fault), |_| panic!("never signed"));
        let record = said(&answer);
        assert_eq!((record.time, record.mac.len(), record.error, record.other.len()), (1_000_000, 0, code, 0));
    }
    let mut answer = vec![0; HEADER];
    signature.answer(&mut answer, 2_000_000, Some(Fault::BadTime), mac);
    let record = said(&answer);
    assert_eq!((record.time, record.mac.len(), record.error), (1_000_000, 32, 18));
    assert_eq!(record.other, 2_000_000_u64.to_be_bytes()[2..]);
    let mut answer = vec![0; HEADER];
    signature.answer(&mut answer, 1_000_001, Some(Fault::BadTrunc), mac);
    assert_eq!((said(&answer).error, said(&answer).mac.len(), said(&answer).other.len()), (22, 32, 0));
}

#[test]
fn following_messages_cover_the_mac_before_and_the_timers_alone() {
    let signature = Signature::of(&signed(1_000_000)).expect("sound").expect("signed");
    let (mut message, mut seen) = (vec![1; HEADER], Vec::new());
    (message[10], message[11]) = (0, 0);
    (4..10).for_each(|at| message[at] = 0);
    let blank = message.clone();
    let next = signature.following(&mut message, 1_000_003, |covered| {
        seen = covered.to_vec();
        mac(covered)
    });
    let mut expected = Vec::new();
    counted(&mut expected, signature.mac());
    expected.extend(&blank);
    expected.extend(&1_000_003_u64.to_be_bytes()[2..]);
    expected.extend(300_u16.to_be_bytes());
    assert_eq!(seen, expected);
    assert_eq!(next.mac(), mac(&expected));
    assert_eq!(said(&message).mac, next.mac);
}

#[test]
fn a_key_file_is_the_secret_alone_or_as_tools_write_it() {
    let secret = Some(b"0123456789abcdef".to_vec());
    for text in [
        "MDEyMzQ1Njc4OWFiY2RlZg==",
        "\n MDEyMzQ1Njc4OWFiY2RlZg==\n",
        "key \"cloud\" {\n\talgorithm hmac-sha256;\n\tsecret \"MDEyMzQ1Njc4OWFiY2RlZg==\";\n};\n",
        "# hmac-sha256:cloud:MDEyMzQ=\nkey:\n  - id: cloud\n    algorithm: hmac-sha256\n    secret: MDEyMzQ1Njc4OWFiY2RlZg==\n",
    ] {
        assert_eq!(secret_in(text), secret, "{text}");
    }
    for text in ["", "secret", "secret:", "no base64 at all", "MDEyMzQ1Njc4OWFiY2RlZg", "MDEy MzQ1", "secret \"\";"] {
        assert_eq!(secret_in(text), None, "{text}");
    }
}

#[test]
fn a_request_of_ours_is_answered_by_who_has_the_key_and_by_nobody_else() {
    let mac = |key: u8| move |covered: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[key; 32]), covered).as_ref().to_vec();
    let is_of = |_: &DnsName, _, covered: &[u8], given: &[u8]| Some(mac(1)(covered) == given);
    let name: DnsName = "to-second".parse().expect("a name");
    let mut request = vec![0, 7, 0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let own = Signature::request(&name, Algorithm::HmacSha256, &mut request, 1_000, mac(1));
    let received = Signature::of(&request).expect("sound").expect("signed");
    assert_eq!(received.verify(&request, 1_000, is_of), Ok(()));

    let response = vec![0, 7, 0xA4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let answered = |key: u8, at: u64| {
        let mut response = response.clone();
        received.answer(&mut response, at, None, mac(key));
        response
    };
    assert_eq!(own.verify_answer(&answered(1, 1_001), 1_001, is_of), Ok(()));
    assert_eq!(own.verify_answer(&answered(2, 1_001), 1_001, is_of), Err(Fault::BadSig));
    assert_eq!(own.verify_answer(&answered(1, 1_001), 2_000, is_of), Err(Fault::BadTime));
    assert_eq!(own.verify_answer(&response, 1_001, is_of), Err(Fault::BadKey), "not signed");
    let mut another = vec![0, 7, 0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let later = Signature::request(&name, Algorithm::HmacSha256, &mut another, 1_002, mac(1));
    assert_eq!(later.verify_answer(&answered(1, 1_002), 1_002, is_of), Err(Fault::BadSig), "to another request");
}
