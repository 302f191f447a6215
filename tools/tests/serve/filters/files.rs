//! Attributes are files that are open: an index of many leaves fewer connections.
use std::net::TcpStream;

use spandrel_filter::{Attribute, AttributeType, Cell};
use spandrel_index::attributes::testing::TestAttribute;
use spandrel_index::testing::TestIndex;
use spandrel_index::{DType, Metric};
use spandrel_proto::v1;
use tempfile::TempDir;
use tonic::Code;

use super::messages::as_text;
use crate::holding::until;
use crate::support::{Server, run};

const VECTORS: usize = 50;

fn with_attributes(count: usize) -> TempDir {
    let attribute = |number: usize| TestAttribute {
        attribute: Attribute { name: format!("a{number}"), kind: AttributeType::I64 },
        cells: (0..VECTORS as i64).map(Cell::I64).collect(),
        resident: false,
    };
    let attributes = (0..count).map(attribute).collect();
    let folder = tempfile::tempdir().unwrap();
    TestIndex { attributes, ..TestIndex::random(Metric::L2, DType::U8, 4, VECTORS) }.write(folder.path());
    folder
}

#[test]
fn connections_leave_descriptors_for_attributes() {
    run(async {
        let (many, more) = (with_attributes(60), with_attributes(200));
        let root = more.path().to_str().unwrap();
        let flags = ["--threads", "2", "--metrics", "127.0.0.1:0", "--root", root];
        let index = format!("index={}", many.path().display());
        let server = Server::of_with_descriptors(&index, "-n 560", &flags);
        let client = server.client();
        let search = async |index: &str| {
            let query = Some(v1::Vectors::raw(4, v1::Dtype::U8, vec![7; 4]));
            let options = Some(v1::SearchOptions { filter: as_text("a59 > 40"), ..Default::default() });
            let index = index.to_owned();
            client
                .search(v1::SearchRequest { index, query, k: 5, options, ..Default::default() })
                .await
                .unwrap()
                .ids
                .len()
        };
        assert_eq!(search("index").await, 5);
        let held: Vec<TcpStream> = (0..380).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
        until("some are refused", || server.metric("spandrel_connections_refused_total ") > 180.0).await;
        let pages: Vec<TcpStream> =
            (0..60).map(|_| TcpStream::connect(server.metrics.as_ref().unwrap()).unwrap()).collect();
        let switch = v1::StartSwitchRequest { index: "index".to_owned(), ..Default::default() };
        for _ in 0..3 {
            client.switch_index(switch.clone()).await.unwrap();
        }
        assert_eq!(search("index").await, 5);
        drop(pages);
        // One that would leave no connection is not opened, and takes nothing.
        let load = |path| v1::StartLoadRequest { index: "more".to_owned(), path, ..Default::default() };
        let refused = client.load_index(load(root.to_owned())).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("ulimit -n"), "{refused}");
        let files = refused.message().split_whitespace().find_map(|word| word.parse::<u32>().ok());
        assert!(files >= Some(200), "one for each attribute and more: {refused}");
        drop(held);
        until("connections are gone", || server.metric("spandrel_connections ") < 1.5).await;
        let refused = client.load_index(load(root.to_owned())).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        client.switch_index(switch).await.unwrap();
        assert_eq!(search("index").await, 5);
    });
}
