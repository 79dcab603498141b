//! Jobs of pure methods get the results of identical work: verifications, within a tenant and an image. Proofs never do.

mod harness;

use harness::{
    Server,
    circuits::{done, own_state, put, squares::squares},
    keyed::{Keyed, ask},
};
use serde_json::Value;

const SHARED: &str = r#"snapback_jobs_shared_total{image="plonk"}"#;
const PROVE: &str = "/v1/circuits/squares/prove?async=true";
const VERIFY: &str = "/v1/circuits/squares/verify?async=true";

fn path(job: &Value) -> String {
    format!("/v1/jobs/{}", job["id"].as_str().expect("an id"))
}

/// Submits a job, and returns it once it has succeeded.
fn run(server: &Server, key: &str, call: &str, body: &[u8]) -> Value {
    let accepted = ask(server, key, "POST", call, body);
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let ended = ask(server, key, "GET", &format!("{}?wait=5m", path(&accepted.json())), b"").json();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    ended
}

fn result(server: &Server, key: &str, job: &Value) -> Vec<u8> {
    ask(server, key, "GET", &format!("{}/result", path(job)), b"").ok()
}

/// Whether a job that has ended ran, and did not get the result of another.
fn has_run(job: &Value) -> bool {
    assert_eq!(job["attempts"] == 0, !job["computed_by"].is_null(), "{job}");
    job["computed_by"].is_null()
}

#[test]
fn verifications_share_a_result_and_proofs_do_not() {
    let keyed = Keyed::new(own_state());
    let server = keyed.serve("plonk", &["--auth-required", "off"]);
    let (r1cs, witness) = squares(5, 3);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    let methods = server.get("/v1/methods").json();
    let methods = methods["methods"].as_array().expect("methods").iter();
    let pure = methods.filter(|method| method["pure"] == true).map(|method| &method["name"]);
    assert_eq!(pure.collect::<Vec<_>>(), ["verify"]);

    let proofs = [(); 2].map(|()| {
        let job = run(&server, "", PROVE, &witness);
        assert!(has_run(&job));
        result(&server, "", &job)
    });
    assert_ne!(proofs[0], proofs[1], "each proof has randomness of its own");
    let first = run(&server, "", VERIFY, &proofs[0]);
    assert!(has_run(&first), "calls of another method are other work");
    assert!(has_run(&run(&server, "", VERIFY, &proofs[1])), "another body");
    let second = run(&server, "", VERIFY, &proofs[0]);
    assert!(!has_run(&second));
    assert_eq!(
        (&second["computed_by"], &second["result"]["digest"]),
        (&first["id"], &first["result"]["digest"])
    );
    assert_eq!(result(&server, "", &second), br#"{"valid":true}"#);
    assert_eq!(server.metric(SHARED), 1.0);

    // Another image has it all, and nothing of another image is shared.
    let (other, _) = squares(6, 3);
    done(&server, &put(&server, "/v1/circuits/other", &[("r1cs", &other)]));
    assert!(has_run(&run(&server, "", VERIFY, &proofs[0])));
    assert!(!has_run(&run(&server, "", VERIFY, &proofs[0])));
    let (replacement, _) = squares(4, 3);
    done(&server, &put(&server, "/v1/circuits/squares?replace=true", &[("r1cs", &replacement)]));
    let refuted = server.post(VERIFY, &proofs[0]).json();
    let refuted = server.get(&format!("{}?wait=5m", path(&refuted))).json();
    assert_eq!((&refuted["state"], has_run(&refuted)), (&"failed".into(), true));
    done(&server, &put(&server, "/v1/circuits/squares?replace=true", &[("r1cs", &r1cs)]));
    assert!(run(&server, "", VERIFY, &proofs[0])["state"] == "succeeded");
    drop(server);

    // The circuit is for all tenants, and what one verified tells another nothing.
    let server = keyed.serve("plonk", &[]);
    let (acme, beta) = (keyed.key("acme", "prover"), keyed.key("beta", "prover"));
    harness::until("the keys are read", || ask(&server, &beta, "GET", "/v1/whoami", b"").status == 200);
    assert!(has_run(&run(&server, &acme, VERIFY, &proofs[0])));
    assert!(!has_run(&run(&server, &acme, VERIFY, &proofs[0])));
    assert!(has_run(&run(&server, &beta, VERIFY, &proofs[0])));
    drop(server);

    let server = keyed.serve("plonk", &["--jobs-share-pure", "off"]);
    assert!(has_run(&run(&server, &acme, VERIFY, &proofs[0])));
}
