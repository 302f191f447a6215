//! Folders that clients name, while somebody else writes in a root: what was checked is what is opened.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use spandrel_client::opened;
use spandrel_proto::v1;
use tempfile::TempDir;
use tonic::Code;

use crate::holding::until;
use crate::support::{Gate, Server, copy_folder, made, run};

/// A root with an index of 2500 vectors in `live`, and one of 5000 outside.
struct Folders {
    root: TempDir,
    outside: TempDir,
}

impl Folders {
    fn new() -> Folders {
        let folders = Folders { root: tempfile::tempdir().unwrap(), outside: tempfile::tempdir().unwrap() };
        copy_folder(&made().path("half"), &folders.live());
        copy_folder(&made().path("index"), folders.outside.path());
        folders
    }

    fn live(&self) -> PathBuf {
        self.root.path().join("live")
    }

    fn server(&self) -> Server {
        Server::start(&["--root", self.root.path().to_str().unwrap()])
    }

    /// Puts a link that leads outside in the place of a folder.
    fn swap(&self, folder: &Path) {
        fs::rename(folder, folder.with_extension("aside")).unwrap();
        symlink(self.outside.path(), folder).unwrap();
    }
}

fn load(index: &str, path: &Path) -> v1::StartLoadRequest {
    let path = path.to_str().unwrap().to_owned();
    v1::StartLoadRequest { index: index.to_owned(), path, ..Default::default() }
}

fn switch(index: &str, path: &str) -> v1::StartSwitchRequest {
    v1::StartSwitchRequest { index: index.to_owned(), path: path.to_owned(), ..Default::default() }
}

#[test]
fn a_folder_that_becomes_a_link_after_it_was_checked_is_not_opened() {
    run(async {
        let folders = Folders::new();
        let slow = folders.root.path().join("slow");
        copy_folder(&folders.live(), &slow);
        let (server, gate) = (folders.server(), Gate::close(&slow));
        let (client, mut admin) = (server.client(), server.client().admin());
        admin.start_load(load("slow", &slow)).await.unwrap();
        // Checked, and waits for the other one.
        let checked = admin.start_load(load("live", &folders.live())).await.unwrap().into_inner();
        folders.swap(&folders.live());
        gate.open();
        let refused = opened(client.wait(checked, |_| {}).await.unwrap()).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert!(refused.message().contains("--root"), "{refused}");
    });
}

#[test]
fn a_folder_that_is_swapped_while_it_is_opened_is_opened_to_the_end() {
    run(async {
        let folders = Folders::new();
        let (server, gate) = (folders.server(), Gate::close(&folders.live()));
        let (client, mut admin) = (server.client(), server.client().admin());
        let opening = admin.start_load(load("live", &folders.live())).await.unwrap().into_inner();
        until("its first file is being opened", || gate.is_waited_for()).await;
        folders.swap(&folders.live());
        gate.open();
        let inside = opened(client.wait(opening, |_| {}).await.unwrap()).unwrap();
        assert_eq!(inside.summary.unwrap().vectors, 2500);
        let verified = client.verify(v1::StartVerifyRequest { index: "live".to_owned(), deep: true }).await;
        assert!(verified.unwrap().whole);
        // Once more, the folder that it has.
        let refused = client.switch_index(switch("live", "")).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        assert_eq!(client.describe_index("live").await.unwrap().summary.unwrap().vectors, 2500);
    });
}

#[test]
fn links_in_a_folder_that_a_client_names_are_no_files() {
    run(async {
        let folders = Folders::new();
        let (server, live) = (folders.server(), folders.live());
        let client = server.client();
        let secret = folders.outside.path().join("secret");
        fs::write(&secret, "a secret").unwrap();
        for name in ["heads-1", "vectors-1", "manifest-1", "CURRENT"] {
            let aside = folders.outside.path().join("aside");
            fs::rename(live.join(name), &aside).unwrap();
            for leads_to in [&aside, &secret] {
                symlink(leads_to, live.join(name)).unwrap();
                let refused = client.load_index(load("live", &live)).await.unwrap_err().to_string();
                assert!(refused.contains(name) && refused.contains("not a regular file"), "{refused}");
                assert!(!refused.contains("a secret"), "{refused}");
                fs::remove_file(live.join(name)).unwrap();
            }
            fs::rename(&aside, live.join(name)).unwrap();
        }
        client.load_index(load("live", &live)).await.unwrap();

        // What a switch writes goes through no link either.
        symlink(&secret, live.join("APPROVED.partial")).unwrap();
        let switched = client.switch_index(switch("live", "")).await.unwrap();
        assert!(switched.not_remembered.contains("APPROVED"), "{switched:?}");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "a secret");
    });
}

#[test]
fn a_link_that_the_settings_name_is_followed_at_each_switch() {
    run(async {
        let folders = Folders::new();
        let link = folders.root.path().join("current");
        symlink(folders.live(), &link).unwrap();
        let server = Server::of(&format!("index={}", link.display()), &[]);
        let client = server.client();
        fs::remove_file(&link).unwrap();
        symlink(folders.outside.path(), &link).unwrap();
        let switched = client.switch_index(switch("index", "")).await.unwrap();
        assert_eq!((switched.summary.unwrap().vectors, &*switched.not_remembered), (5000, ""));
        assert!(folders.outside.path().join("APPROVED").exists());
    });
}
